// Between what SQLite stores and canonical cells, by the PostgreSQL type of the column the value
// flows to. SQLite's columns hold any type in any row, so the conversion looks at the value, never
// at the declared type. Pure and thread-safe.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "state/model/chunk.h"
#include "state/model/meaning.h"
#include "state/model/table_map.h"

namespace switchback {

/// One value as SQLite holds it. Views live as long as the statement row they came from.
struct StoredValue {
  int type = SQLITE_NULL;  // SQLITE_INTEGER, SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB or SQLITE_NULL
  std::int64_t integer = 0;
  double real = 0;
  std::string_view bytes;  // TEXT (UTF-8) and BLOB

  static StoredValue of_column(sqlite3_stmt* statement, int column);
};

/// The cell that `value` means in `column`, its text copied into `out`. nullopt if the PostgreSQL
/// type cannot hold it; then `why` says so in words ("text 'abc' in a BOOLEAN column").
std::optional<Cell> read_cell(const ColumnMap& column, const StoredValue& value, Chunk& out,
                              std::string& why);

/// Whether `stored` already means `cell`, so that writing it would only change its spelling.
bool same_meaning(const ColumnMap& column, const StoredValue& stored, const Cell& cell,
                  const Chunk& chunk);

/// What to store for `cell`: in the storage class and spelling of `previous` where that loses
/// nothing, else in the column's first spelling. `scratch` holds the bytes of the result.
StoredValue write_cell(const ColumnMap& column, const Cell& cell, const Chunk& chunk,
                       const StoredValue* previous, std::string& scratch);

/// Binds `value` to parameter `index` (from 1). The bytes are copied.
void bind_value(sqlite3_stmt* statement, int index, const StoredValue& value);

}  // namespace switchback
