// Where each cell of a row comes from in a record, and the cell itself. Used by both directions of
// the lens: to read, and to know which place a changed cell is to be written to. Private to it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "watchers/files/elements.h"

namespace switchback {

/// One value a source gives.
struct FoundValue {
  enum class Sort : std::uint8_t {
    kAbsent,
    kNode,   // a value of the document
    kText,   // from elsewhere: a name, a path, an identity
    kJson,   // "$rest"
    kBytes,  // "$bytes"
  };
  Sort sort = Sort::kAbsent;
  Document::Node node{};
  std::string text;
};

class RowValues {
 public:
  RowValues(const LensPlan& plan, const RecordInput& record, const std::vector<Element>& elements)
      : plan_(plan), record_(record), elements_(elements) {}

  /// The element `up` levels out of `element`.
  std::uint32_t outer(std::uint32_t element, std::uint16_t up) const;
  FoundValue find(const ValueSource& source, std::uint32_t element) const;
  bool is_null(const FoundValue& value) const;

  /// Which of a column's sources gives the value; -1: none, or `otherwise`.
  struct Chosen {
    int source = -1;
    FoundValue value;
  };
  Chosen choose(const ColumnSource& column, std::uint32_t element) const;

  /// The cell of the table's column for this element; nullopt if it does not fit, then `why`.
  std::optional<Cell> cell(std::uint16_t table, std::size_t column, std::uint32_t element,
                           Chunk& out, std::string& why) const;
  /// The same for a source that need not be the table's own.
  std::optional<Cell> cell_from(const ColumnMap& column, const ColumnSource& source,
                                std::uint32_t element, Chunk& out, std::string& why) const;
  /// Its key in the table, as key_text() spells it.
  std::string key(std::uint16_t table, std::uint32_t element) const;
  /// Whether the element has a row in the table.
  bool has_row(std::uint16_t table, std::uint32_t element) const;
  /// Appends the row as an upsert, or a misfit with its key. False if it has no key: then `why`,
  /// and nothing is appended.
  bool append_row(std::uint16_t table, std::uint32_t element, Chunk& out, std::string& why) const;

  const RecordInput& record() const { return record_; }
  const std::vector<Element>& elements() const { return elements_; }

 private:
  FoundValue find_member(const ValueSource& source, std::uint32_t element) const;
  std::optional<Cell> cell_of_value(const ColumnMap& column, const ColumnSource& source,
                                    const FoundValue& value, Chunk& out, std::string& why) const;
  std::string rest(std::uint32_t element) const;
  std::string place(std::uint32_t element) const;

  const LensPlan& plan_;
  const RecordInput& record_;
  const std::vector<Element>& elements_;
};

/// What in the record contradicts its file's path: "its path says /id is 'a', …"; empty: nothing.
std::string path_contradiction(const RecordInput& record);

/// The text of a scalar as a path or a condition has it; nullopt for containers.
std::optional<std::string> scalar_text(const Document& document, Document::Node node);

}  // namespace switchback
