// Looks up, in the current snapshot, what a dirty key of one table now means: whether its row is
// there, the row itself, and which children PostgreSQL's referential actions would touch if it were
// deleted there. Statements are prepared once. Used by one thread; must not outlive its database.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/prepared.h"
#include "watchers/sqlite/row_query.h"

namespace switchback {

class DirtyRows {
 public:
  DirtyRows(SQLite::Database& database, const Mapping& mapping, const TableMap& map);

  bool present(std::span<const StoredValue> key);
  /// Appends the row's upsert (or misfit). The row must be present.
  void append_upsert(std::span<const StoredValue> key, Chunk& out);
  /// Appends a delete; nothing if no row at the other side can have this key.
  void append_delete(std::span<const StoredValue> key, Chunk& out);

  /// A child row that refers to the key, and whether PostgreSQL would delete it with its parent.
  using VisitChild = std::function<void(TableId, std::span<const StoredValue> key, bool deleted)>;
  void visit_children(std::span<const StoredValue> key, const VisitChild& visit);
  /// Whether deleting a row of this table in PostgreSQL changes rows of others.
  bool has_actions() const { return !children_.empty(); }
  /// Tables whose rows make the delete be refused: by PostgreSQL, or by the sink's own guard where
  /// PostgreSQL would take them along.
  const std::vector<TableId>& refusing() const { return refusing_; }

  const TableMap& map() const { return map_; }

 private:
  struct Children {
    TableId table;
    std::uint16_t key_width;
    bool deleted;                         // ON DELETE CASCADE
    std::vector<std::uint16_t> key_part;  // which part of the parent's key each parameter is
    Prepared statement;
  };
  void add_children(SQLite::Database& database, const TableMap& child, const ForeignKey& key);
  bool append_null_keyed(std::span<const StoredValue> key, Chunk* out);

  const TableMap& map_;
  RowQuery row_;
  Prepared exists_;
  Prepared null_keyed_;
  std::vector<Children> children_;
  std::vector<TableId> refusing_;
  std::vector<StoredValue> child_key_;
};

}  // namespace switchback
