#include "state/model/copy_change.h"

#include <algorithm>

namespace switchback {

void copy_change(const Chunk& from, const Change& change, std::uint16_t key_width, Chunk& to,
                 std::span<const std::uint16_t> nulls) {
  const bool renamed = change.old_key != Change::kNone;
  if (renamed) {
    for (const Cell& cell : from.old_key(change, key_width)) to.add(copy_cell(cell, from, to));
  }
  std::uint16_t column = 0;
  for (const Cell& cell : from.row(change)) {
    const bool null = std::find(nulls.begin(), nulls.end(), column++) != nulls.end();
    to.add(null ? Cell::null() : copy_cell(cell, from, to));
  }
  switch (change.op) {
    case Op::kUpsert:
      renamed ? to.end_rename(change.table, key_width) : to.end_upsert(change.table);
      return;
    case Op::kDelete:
      to.end_delete(change.table);
      return;
    case Op::kTruncate:
      to.end_truncate(change.table);
      return;
    case Op::kMisfit:
      to.end_misfit(change.table, from.text(change.reason));
      return;
  }
}

void copy_key(TableId table, std::span<const Cell> key, const Chunk& from, Chunk& to) {
  for (const Cell& cell : key) to.add(copy_cell(cell, from, to));
  to.end_delete(table);
}

}  // namespace switchback
