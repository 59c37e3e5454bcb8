// One row as the old store and PostgreSQL have it, and what can be said of the two. Pure but for
// is_nulled_orphan(), which asks for the parent.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"
#include "state/ports/row_reader.h"

namespace switchback {

/// A change is nullptr where the side has no such row. Views live as long as the chunks.
struct RowPair {
  const Change* of_old = nullptr;
  const Chunk& old_chunk;
  const Change* of_postgres = nullptr;
  const Chunk& postgres_chunk;

  /// Both sides have the row, and it can be expressed.
  bool both() const;
  /// Why one side's row cannot be expressed.
  std::optional<std::string_view> misfit() const;
  std::span<const Cell> old_row() const { return old_chunk.row(*of_old); }
  std::span<const Cell> postgres_row() const { return postgres_chunk.row(*of_postgres); }
  /// Compared columns that differ; of both().
  std::vector<std::uint16_t> unequal(const TableMap& map) const;
};

/// Whether PostgreSQL reads both texts as the same value of the column's type.
using SameInPostgres =
    std::function<bool(const ColumnMap& column, std::string_view a, std::string_view b)>;

/// True if the two differ only in columns of types that travel as text (arrays, inet, interval),
/// and there by spelling only.
bool is_spelled_apart(const TableMap& map, const RowPair& pair, const SameInPostgres& same);

/// True if the two differ only as `orphans = "null"` means them to: PostgreSQL has NULL where the
/// old store names a parent that PostgreSQL has not. `postgres` reads that side.
bool is_nulled_orphan(const Mapping& mapping, const TableMap& map, const RowPair& pair,
                      RowReader& postgres);

}  // namespace switchback
