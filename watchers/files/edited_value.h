// A JSON value that is being changed: a tree laid over a document, opened only along the way to
// what changes, so that everything else keeps its bytes. put() builds one per record, writes into
// it and renders it. Values that were born or replaced are printed in the record's style. Used by
// one thread; must not outlive the document it was made over.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "watchers/files/document.h"
#include "watchers/files/memory.h"
#include "watchers/files/style.h"

namespace switchback {

class EditedValue {
 public:
  struct Child {
    std::string name;  // in an object
    std::unique_ptr<EditedValue> value;
    bool renamed = false;  // `name` is not what its place in the document says
  };

  EditedValue(const Document& document, Document::Node node);
  /// A value that is nowhere yet.
  explicit EditedValue(std::string_view json);

  JsonSort sort() const { return content_->sort(node_); }
  /// What it holds, unless children() was called: then only its sort is meant.
  const Document& content() const { return *content_; }
  Document::Node content_node() const { return node_; }
  /// The value of the document whose place it has, if any.
  std::optional<Document::Node> origin() const { return origin_; }
  bool opened() const { return opened_; }
  /// Whether its contents are the document's at its place, but for opened parts.
  bool in_place() const { return record_ != nullptr; }

  /// What the container holds, to be changed at will.
  std::vector<Child>& children();
  EditedValue* child(std::string_view name);
  void remove_child(const EditedValue* child);
  /// Replaces the value by another text.
  void replace(std::string_view json);
  /// Makes the value mean what `json` means and touches no more of it than that needs: members
  /// keep their order, equal parts their bytes, elements of arrays are recognised by contents.
  void assign(std::string_view json);
  void assign(const Document& document, Document::Node node);

  std::string render(const TextStyle& style, std::string_view indent);

  /// Set for an element that was born: what was made up for it.
  std::optional<MadeUp> made;

 private:
  void render(std::string& out, const TextStyle& style, std::string_view indent);
  void render_in_place(std::string& out, const TextStyle& style, std::string_view indent);
  void render_new(std::string& out, const TextStyle& style, std::string_view indent);
  void assign_object(const Document& document, Document::Node node);
  void assign_array(const Document& document, Document::Node node);

  struct Own {
    std::string text;
    Document document;
  };
  const Document* record_ = nullptr;  // the document with the places; nullptr: born
  std::optional<Document::Node> origin_;
  std::shared_ptr<const Own> own_;
  const Document* content_;
  Document::Node node_;
  bool opened_ = false;
  std::vector<Child> children_;
};

}  // namespace switchback
