// One JSON text taken apart with the place of every value in it: what the lens reads rows from and
// what the writer cuts its changes into. simdjson tells neither where a value stands nor what is
// wrong at which line, so this is a strict parser (RFC 8259) of our own; a fuzzer holds it against
// simdjson. Refused, with line, column and pointer: what is not JSON or not UTF-8, a byte order
// mark, an object that repeats a member, more than kMostDepth levels. \u0000 and lone surrogates
// are valid JSON and are refused only by the columns that cannot hold them. Pure; a Document is
// immutable, and views into it live as long as the text it was made from.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/base/hash128.h"
#include "state/model/document_map.h"

namespace switchback {

enum class JsonSort : std::uint8_t { kNull, kTrue, kFalse, kNumber, kString, kArray, kObject };

/// A place in a text: line and column from 1, column counted in bytes.
struct TextPlace {
  std::size_t line = 1, column = 1;
};

/// Where a text comes from, for messages.
struct TextOrigin {
  std::string_view where;   // "data/users.json"
  std::string_view file{};  // all of the file that the text is a part of; empty: the text is all
  std::string pointer{};    // what leads to the text's value in the file
};

class Document {
 public:
  static constexpr std::uint32_t kMostDepth = 1000;

  /// An index into the values, in document order; a container is followed by what it holds.
  enum class Node : std::uint32_t {};
  static constexpr Node kRoot{0};

  /// Throws Error(kData, retry later) with file, line, column and pointer. The text and what
  /// `origin` points to must outlive the document.
  static Document parse(std::string_view text, const TextOrigin& origin);

  std::string_view text() const { return text_; }
  JsonSort sort(Node node) const { return at(node).sort; }
  bool is_container(Node node) const { return sort(node) >= JsonSort::kArray; }
  /// The value's own bytes, without blanks around it.
  std::string_view raw(Node node) const {
    return text_.substr(at(node).begin, at(node).end - at(node).begin);
  }
  std::size_t begin(Node node) const { return at(node).begin; }
  std::size_t end(Node node) const { return at(node).end; }
  /// The member's name as written, with its quotes; empty for an element of an array.
  std::string_view raw_name(Node node) const {
    return text_.substr(at(node).name_begin, at(node).name_end - at(node).name_begin);
  }
  std::string name(Node node) const;
  /// A string's value, unescaped; a lone surrogate as its three bytes.
  std::string string(Node node) const;

  /// The values directly inside a container, in order.
  std::optional<Node> first(Node container) const;
  std::optional<Node> next(Node value) const;
  std::uint32_t count(Node container) const { return at(container).count; }
  std::optional<Node> member(Node object, std::string_view name) const;
  /// Follows member names, and indexes into arrays.
  std::optional<Node> find(Node from, const MemberPath& path) const;

  /// The value without blanks between its tokens, else as written.
  std::string compact(Node node) const;
  /// Of what the value means: the order of members, blanks, escapes and the spelling of numbers
  /// make no difference.
  Hash128 meaning(Node node) const;

  /// The blanks at the beginning of the line in its file on which the value begins.
  std::string_view indent(Node node) const;

  /// "data/users.json:12:7 /0/name", for messages.
  std::string place(Node node) const;
  std::string pointer(Node node) const;

 private:
  friend class DocumentParser;
  struct Value {
    std::uint32_t begin = 0, end = 0;
    std::uint32_t name_begin = 0, name_end = 0;
    std::uint32_t after = 0;  // the value that follows this one and all it holds
    std::uint32_t parent = 0;
    std::uint32_t count = 0;  // directly inside
    JsonSort sort = JsonSort::kNull;
  };
  const Value& at(Node node) const { return values_[static_cast<std::uint32_t>(node)]; }

  std::string_view text_;
  TextOrigin origin_;
  std::vector<Value> values_;
};

/// A JSON string token, quotes included, without its escapes.
std::string unescape_json(std::string_view token);

/// The place of byte `offset` of `text`.
TextPlace place_in(std::string_view text, std::size_t offset);

}  // namespace switchback
