#include "bridge/verify/row_pair.h"

#include <algorithm>
#include <set>

#include "bridge/verify/columns.h"
#include "state/model/meaning.h"

namespace switchback {
namespace {

/// The key of the row's parent, as the old store has it; empty if the foreign key does not name
/// the parent's primary key.
Chunk parent_key(const ForeignKey& key, const TableMap& parent, const RowPair& pair) {
  Chunk wanted;
  for (std::uint16_t i = 0; i < parent.key_width; ++i) {
    const auto at = std::find(key.parent_columns.begin(), key.parent_columns.end(), i);
    if (at == key.parent_columns.end()) return {};
    const auto column = key.columns[static_cast<std::size_t>(at - key.parent_columns.begin())];
    wanted.add(copy_cell(pair.old_row()[column], pair.old_chunk, wanted));
  }
  wanted.end_delete(parent.id);
  const auto cells = wanted.row(wanted.changes().front());
  return can_be_fetched(parent, cells, wanted) ? std::move(wanted) : Chunk();
}

bool parent_is_there(const ForeignKey& key, const TableMap& parent, const RowPair& pair,
                     RowReader& postgres) {
  const Chunk wanted = parent_key(key, parent, pair);
  if (wanted.empty()) return false;
  Chunk found;
  postgres.fetch(parent.id, wanted, found);
  return !found.empty() && found.changes().front().op != Op::kDelete;
}

}  // namespace

bool RowPair::both() const {
  return of_old != nullptr && of_postgres != nullptr && of_old->op == Op::kUpsert &&
         of_postgres->op == Op::kUpsert;
}

std::optional<std::string_view> RowPair::misfit() const {
  if (of_old != nullptr && of_old->op == Op::kMisfit) return old_chunk.text(of_old->reason);
  if (of_postgres != nullptr && of_postgres->op == Op::kMisfit) {
    return postgres_chunk.text(of_postgres->reason);
  }
  return std::nullopt;
}

std::vector<std::uint16_t> RowPair::unequal(const TableMap& map) const {
  std::vector<std::uint16_t> out;
  for (const std::uint16_t i : compared_columns(map)) {
    const bool same =
        cells_same(map.columns[i], old_row()[i], old_chunk, postgres_row()[i], postgres_chunk);
    if (!same) out.push_back(i);
  }
  return out;
}

bool is_spelled_apart(const TableMap& map, const RowPair& pair, const SameInPostgres& same) {
  if (!same || !pair.both()) return false;
  const auto unequal = pair.unequal(map);
  return !unequal.empty() && std::all_of(unequal.begin(), unequal.end(), [&](std::uint16_t i) {
    const ColumnMap& column = map.columns[i];
    const Cell& a = pair.old_row()[i];
    const Cell& b = pair.postgres_row()[i];
    return column.type == PgType::kOtherText && has_text(a.kind) && has_text(b.kind) &&
           same(column, pair.old_chunk.text(a), pair.postgres_chunk.text(b));
  });
}

bool is_nulled_orphan(const Mapping& mapping, const TableMap& map, const RowPair& pair,
                      RowReader& postgres) {
  if (map.orphans != Orphans::kNull || !pair.both()) return false;
  const auto unequal = pair.unequal(map);
  std::set<std::uint16_t> meant;
  for (const ForeignKey& key : map.foreign_keys) {
    const bool nulled = std::any_of(key.columns.begin(), key.columns.end(), [&](std::uint16_t i) {
      return pair.postgres_row()[i].kind == Kind::kNull && pair.old_row()[i].kind != Kind::kNull;
    });
    if (!nulled || parent_is_there(key, mapping.table(key.parent), pair, postgres)) continue;
    meant.insert(key.columns.begin(), key.columns.end());
  }
  return !meant.empty() && std::all_of(unequal.begin(), unequal.end(), [&](std::uint16_t i) {
    return meant.contains(i) && pair.postgres_row()[i].kind == Kind::kNull;
  });
}

}  // namespace switchback
