// What a cell means, apart from how its side spells it: whether two cells mean the same, and a
// canonical form of bytes that is equal exactly if they do, so that rows of both sides can be
// compared by their hashes. Used by the sinks of the old stores ("does this cell differ?") and by
// the verifier. Pure; a RowHasher belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "state/base/hash128.h"
#include "state/model/chunk.h"
#include "state/model/table_map.h"

namespace switchback {

/// Whether two cells of the column, each with its own chunk, mean the same.
bool cells_same(const ColumnMap& column, const Cell& stored, const Chunk& own, const Cell& cell,
                const Chunk& chunk);

/// Appends bytes that are equal for two cells of the column exactly if cells_same(), and of which
/// none is the beginning of another.
void append_meaning(const ColumnMap& column, const Cell& cell, const Chunk& chunk,
                    std::string& out);

/// Hashes of rows and of their keys by meaning.
class RowHasher {
 public:
  /// Only `columns` (indexes into the table's, the key's included) make a row's hash.
  RowHasher(const TableMap& map, std::vector<std::uint16_t> columns)
      : map_(map), columns_(std::move(columns)) {}

  Hash128 key(std::span<const Cell> row, const Chunk& chunk);
  Hash128 row(std::span<const Cell> row, const Chunk& chunk);

 private:
  const TableMap& map_;
  std::vector<std::uint16_t> columns_;
  std::string scratch_;
};

}  // namespace switchback
