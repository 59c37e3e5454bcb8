#include "replication/held_changes.h"

#include <algorithm>

namespace switchback {
namespace {

constexpr std::string_view kForeignKeyViolation = "23503";

/// Copies the change, with the columns in `nulls` made NULL.
void copy_change(const TableMap& table, const Chunk& from, const Change& change, Chunk& to,
                 std::span<const std::uint16_t> nulls = {}) {
  const bool renamed = change.old_key != Change::kNone;
  if (renamed) {
    for (const Cell& cell : from.old_key(change, table.key_width)) {
      to.add(copy_cell(cell, from, to));
    }
  }
  std::uint16_t column = 0;
  for (const Cell& cell : from.row(change)) {
    const bool null = std::find(nulls.begin(), nulls.end(), column++) != nulls.end();
    to.add(null ? Cell::null() : copy_cell(cell, from, to));
  }
  switch (change.op) {
    case Op::kUpsert:
      renamed ? to.end_rename(change.table, table.key_width) : to.end_upsert(change.table);
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

/// The foreign key of `table` that the error names; nullptr if it is about another table's (a
/// parent that still has children) or a column that cannot be NULL.
const ForeignKey* broken_reference(const TableMap& table, const RowError& error) {
  if (error.sqlstate != kForeignKeyViolation || error.table != table.table) return nullptr;
  for (const ForeignKey& key : table.foreign_keys) {
    const bool nullable = std::all_of(key.columns.begin(), key.columns.end(), [&](auto column) {
      return column >= table.key_width && !table.columns[column].not_null;
    });
    if (key.name == error.constraint && nullable) return &key;
  }
  return nullptr;
}

}  // namespace

void HeldChanges::hold(const Chunk& chunk, const Change& change, std::string key, RowError error) {
  copy_change(mapping_.table(change.table), chunk, change, chunk_);
  held_.push_back({static_cast<std::uint32_t>(chunk_.changes().size() - 1), change.table,
                   std::move(key), std::move(error)});
}

void HeldChanges::drop(TableId table, std::string_view key) {
  std::erase_if(held_, [&](const Held& held) { return held.table == table && held.key == key; });
}

void HeldChanges::settle(const Attempt& attempt, bool last) {
  if (held_.empty()) return;
  if (held_.size() > 1) {
    std::vector<std::uint32_t> all;
    for (const Held& held : held_) all.push_back(held.change);
    if (!attempt(chunk_, all)) {
      clear();
      return;
    }
  }
  do {
    // A chain resolves in one pass if walked from its free end: so both ways in turn.
    bool forward = true;
    while (try_each(attempt, forward)) forward = !forward;
  } while (last && null_orphans(attempt));
  if (held_.empty()) clear();
}

bool HeldChanges::try_each(const Attempt& attempt, bool forward) {
  bool progress = false;
  for (std::size_t n = held_.size(); n > 0; --n) {
    const std::size_t i = forward ? held_.size() - n : n - 1;
    auto error = attempt(chunk_, std::span(&held_[i].change, 1));
    if (error) {
      held_[i].error = std::move(*error);
    } else {
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
      progress = true;
    }
  }
  return progress;
}

bool HeldChanges::null_orphans(const Attempt& attempt) {
  const auto applied = [&](const Held& held) { return null_orphan(attempt, held); };
  return std::erase_if(held_, applied) != 0;
}

bool HeldChanges::null_orphan(const Attempt& attempt, const Held& held) const {
  const TableMap& table = mapping_.table(held.table);
  const Change& change = chunk_.changes()[held.change];
  if (table.orphans != Orphans::kNull || change.op != Op::kUpsert) return false;
  std::vector<std::uint16_t> nulls;
  std::optional<RowError> error = held.error;
  // Each round takes one more reference away, so it ends after as many as the table has.
  for (std::size_t round = 0; error && round < table.foreign_keys.size(); ++round) {
    const ForeignKey* broken = broken_reference(table, *error);
    if (broken == nullptr) return false;
    nulls.insert(nulls.end(), broken->columns.begin(), broken->columns.end());
    Chunk bare;
    copy_change(table, chunk_, change, bare, nulls);
    const std::uint32_t only = 0;
    error = attempt(bare, std::span(&only, 1));
  }
  return !error;
}

void HeldChanges::report(std::vector<Reject>& rejects) const {
  for (const Held& held : held_) {
    rejects.push_back({held.table, held.key, held.error.reason, held.error.sqlstate});
  }
}

void HeldChanges::clear() {
  held_.clear();
  chunk_.clear();
}

}  // namespace switchback
