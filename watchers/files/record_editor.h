// Writes the changed rows of one table into one record: finds each row's element, writes the cells
// that differ, adds and removes elements, keeps them in order. put() runs one after the other for
// every table with changes, outer ones first, each over the text the last one made. Private to the
// lens; one thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "watchers/files/edited_value.h"
#include "watchers/files/net_changes.h"
#include "watchers/files/row_values.h"

namespace switchback {

/// Which element each row of a record is of, before anything was written.
class RowsAtStart {
 public:
  /// `record` and `memory` outlive the object. Without a document, or newly born: there are none.
  RowsAtStart(const LensPlan& plan, const RecordInput& record, const RecordMemory& memory,
              bool born);

  std::optional<std::uint32_t> find(std::uint16_t table, const std::string& key);
  /// Whether the element had a row of the table.
  bool has_row(std::uint16_t table, std::uint32_t element);

 private:
  struct OfTable {
    std::map<std::string, std::uint32_t> by_key;
    std::set<std::uint32_t> elements;
  };
  const OfTable& of(std::uint16_t table);

  const LensPlan& plan_;
  RecordInput input_;
  std::vector<Element> elements_;
  RowValues values_;
  std::map<std::uint16_t, OfTable> tables_;
};

/// A record between two tables' changes.
struct RecordState {
  std::shared_ptr<const std::string> text;  // nullptr: an opaque file
  std::optional<Document> document;         // over *text
  FileFacts file;
  std::string indent;  // of the line it begins on, in its file
  std::string name;
  bool in_map = false;
  std::int64_t place = 0;
  std::uint32_t copy = 0;
  std::optional<std::string> path;  // a new "$path"
  std::string contents;             // of an opaque file
  RecordMemory memory;
  bool born = false;  // nothing was written into it yet
  bool gone = false;
  /// By element: which it was at the start; nullopt: it is new. Without a value: it is the start.
  std::optional<std::vector<std::optional<std::uint32_t>>> origins;

  RecordInput input() const;
};

/// Why one change cannot be written.
struct CannotWrite {
  std::string reason;
  bool orphan = false;  // what encloses the row is not here, and may yet come
};

/// For a record that is being written, which has all it needs in its memory: throws CannotWrite.
class NoIdentities : public Identities {
 public:
  [[noreturn]] std::string new_uuid() override;
  [[noreturn]] std::int64_t next_serial(std::uint16_t collection, std::uint16_t level) override;
};

class RecordEditor {
 public:
  /// `start` outlives the object.
  RecordEditor(const LensPlan& plan, const Chunk& chunk, const TextStyle& style, RowsAtStart& start,
               RecordState& state);

  /// Writes the change; throws CannotWrite, then nothing of it is to be kept.
  void apply(const NetChange& net);
  /// Renders and makes `state` what was written.
  void finish();

 private:
  /// What is written to: an element there is, or one being born.
  struct Target {
    EditedValue* value = nullptr;
    std::uint16_t level = 0;
    std::optional<std::uint32_t> element;  // there already
    MadeUp* made = nullptr;
    std::string* name = nullptr;
  };
  struct OrderKey {
    std::vector<Cell> cells;
    const Chunk* chunk = nullptr;
  };

  std::optional<std::uint32_t> find(const NetChange& net);
  std::optional<std::uint32_t> origin(std::uint32_t element) const;
  EditedValue& edited(std::uint32_t element);
  void remove(const NetChange& net, std::uint32_t element);
  void update(const NetChange& net, std::uint32_t element);
  void insert(const NetChange& net);
  void move(const NetChange& net, std::uint32_t element);
  void add_element(const NetChange& net, std::uint32_t parent);
  std::uint32_t find_parent(const NetChange& net);
  bool encloses(const NetChange& net, std::uint32_t parent);
  void write_row(const NetChange& net, Target& target);
  void write_conditions(const NetChange& net, Target& target);
  void write(const NetChange& net, std::size_t column, Target& target);
  void write_null(const NetChange& net, std::size_t column, Target& target);
  void write_to(const NetChange& net, std::size_t column, const ValueSource& source,
                Target& target);
  void write_member(const NetChange& net, std::size_t column, const MemberPath& path,
                    Target& target);
  void write_rest(std::string_view json, Target& target);
  void write_key(const NetChange& net, std::size_t column, Target& target);
  bool in_path(const ValueSource& source, const Target& target) const;
  const ValueSource& writable(const NetChange& net, std::size_t column, const Target& target) const;
  std::unique_ptr<EditedValue> new_value(std::uint16_t level, std::uint16_t table) const;
  EditedValue& member_at(EditedValue& base, const MemberPath& path, std::uint16_t level,
                         bool create);
  EditedValue* find_at(EditedValue& base, const MemberPath& path) const;
  void add_member(EditedValue& object, const std::string& name, std::string_view json,
                  std::optional<Document::Node> sample) const;
  EditedValue& container_of(std::uint32_t parent, std::uint16_t level, std::uint16_t table);
  void put_in_order(const NetChange& net, EditedValue& container,
                    std::unique_ptr<EditedValue> value, std::string name);
  OrderKey order_key(const NetChange& net, const EditedValue& value);
  bool after(const NetChange& net, const OrderKey& a, const OrderKey& b) const;
  void follow_elements(RecordState& next);
  const TableSource& source(const NetChange& net) const { return plan_.source(net.table); }
  const TableMap& map(const NetChange& net) const { return plan_.map(net.table); }

  const LensPlan& plan_;
  const Chunk& chunk_;
  const TextStyle style_;
  RowsAtStart& start_;
  RecordState& state_;
  RecordInput input_;
  std::vector<Element> elements_;
  RowValues values_;
  std::optional<EditedValue> root_;
  std::vector<EditedValue*> edited_;  // by element; nullptr: not looked for yet
  std::map<const EditedValue*, const NetChange*> written_;  // whose order is not the document's
  Chunk scratch_;
};

}  // namespace switchback
