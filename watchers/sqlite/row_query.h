// How one mapped table is read: the text of its statements, and how the current row of a statement
// becomes cells of a chunk. The log source, the reader and the sink share it, so that they agree on
// which row a key means. A RowQuery belongs to one thread and must not outlive its database.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/prepared.h"

namespace switchback {

/// As SQLite compares the names of tables and columns. An empty one is nobody's.
bool same_sqlite_name(std::string_view a, std::string_view b);

/// "c1, c2, …": the mapped columns in table-map order, quoted; NULL for a column that the old side
/// does not have.
std::string column_list(const TableMap& map);

/// "k1 = ?1 AND k1 COLLATE BINARY = ?1 AND …": the first comparison may use the key's index
/// whatever its collation, the second one keeps 'A' and 'a' apart. Parameters are numbered from
/// `first`.
std::string key_condition(const TableMap& map, int first = 1);

/// Turns the statement's current row, whose column 0 … are column_list(), into an upsert; or, if a
/// value does not fit, into a misfit that says why. Throws nothing for bad values. A misfit's key
/// cells that cannot be expressed themselves become text; a NULL in the key makes a misfit too.
void append_row(const TableMap& map, sqlite3_stmt* row, Chunk& out, int first_column = 0);

/// Turns stored key values into key cells (for deletes). False, with nothing appended and `why`
/// set, if a value does not fit its column: then no such row can be at the other side.
bool append_key(const TableMap& map, std::span<const StoredValue> key, Chunk& out,
                std::string& why);

/// "SELECT columns FROM t WHERE key", prepared once. Its functions throw SQLite::Exception, and
/// leave no read open.
class RowQuery {
 public:
  RowQuery(SQLite::Database& database, const TableMap& map);

  /// Appends the row that has exactly these stored key values (as the log has them) and returns
  /// true, or appends nothing and returns false if there is none.
  bool append_current(std::span<const StoredValue> key, Chunk& out);

  /// Appends the row of a canonical key. A key may be stored in several ways (a date in each of its
  /// spellings, 7 or '7'): all of them are tried. True if a row was there and was appended.
  bool append_current(std::span<const Cell> key, const Chunk& keys, Chunk& out);

  const TableMap& map() const { return *map_; }

 private:
  void bind(std::span<const StoredValue> key);
  bool row_has_key(std::span<const Cell> key, const Chunk& keys) const;

  const TableMap* map_;
  Prepared statement_;
};

/// One key column's stored forms that mean `cell`, the likeliest first. Owns its bytes.
struct KeyForm {
  int type = SQLITE_NULL;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes;

  StoredValue view() const;
};
std::vector<KeyForm> key_forms(const ColumnMap& column, const Cell& cell, const Chunk& chunk);

}  // namespace switchback
