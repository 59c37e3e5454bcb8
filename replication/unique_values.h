// What rows that exchange unique values need to know: which columns are watched by a unique index,
// and values that nobody has, to put there meanwhile. Used by the sink.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "replication/connection.h"
#include "state/model/chunk.h"
#include "state/model/table_map.h"

namespace switchback {

struct UniqueColumns {
  /// Outside of the key, as indexes into TableMap::columns: those that a unique index or an
  /// exclusion constraint reads in any way, as a column, in an expression, in its condition;
  /// without those that other rows follow by ON UPDATE, and those that cannot be NULL and must be
  /// the key of another row.
  std::vector<std::uint16_t> columns;
  bool key_moves = true;  // false: GENERATED ALWAYS AS IDENTITY, which takes no UPDATE
};
UniqueColumns unique_columns(Connection& connection, const TableMap& table);

/// The number-th value of its type that an application is not likely to use, its text in `out`;
/// nullopt if the type has none to spare.
std::optional<Cell> placeholder(const ColumnMap& column, std::uint64_t number, Chunk& out);

}  // namespace switchback
