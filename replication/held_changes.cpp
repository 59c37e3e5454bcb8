#include "replication/held_changes.h"

#include <algorithm>
#include <set>

#include "state/model/copy_change.h"

namespace switchback {
namespace {

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
  copy_change(chunk, change, mapping_.table(change.table).key_width, chunk_);
  applied_.erase({change.table, key});
  held_.push_back({static_cast<std::uint32_t>(chunk_.changes().size() - 1), change.table,
                   std::move(key), std::move(error)});
}

/// Whether the server changes rows of `table` by itself once it does what is held.
bool HeldChanges::acts_on(const Held& held, TableId table) const {
  if (chunk_.changes()[held.change].op != Op::kDelete) return false;
  const auto& keys = mapping_.table(table).foreign_keys;
  return std::any_of(keys.begin(), keys.end(), [&](const ForeignKey& key) {
    return key.parent == held.table && (key.on_delete == 'n' || key.on_delete == 'd');
  });
}

std::size_t HeldChanges::acting() const {
  return static_cast<std::size_t>(std::count_if(held_.begin(), held_.end(), [&](const Held& held) {
    const auto& tables = mapping_.tables;
    return std::any_of(tables.begin(), tables.end(),
                       [&](const TableMap& table) { return acts_on(held, table.id); });
  }));
}

bool HeldChanges::may_be_put_back(const Change& change) const {
  const auto acts = [&](const Held& held) { return acts_on(held, change.table); };
  return change.op == Op::kUpsert && change.old_key == Change::kNone &&
         std::any_of(held_.begin(), held_.end(), acts);
}

void HeldChanges::note_applied(const Chunk& chunk, const Change& change, const std::string& key) {
  if (change.op == Op::kTruncate) {
    std::erase_if(applied_, [&](const auto& row) { return row.first.first == change.table; });
    return;
  }
  applied_.erase({change.table, key});
  if (change.old_key != Change::kNone) {
    const auto old_key = chunk.old_key(change, mapping_.table(change.table).key_width);
    applied_.erase({change.table, key_text(chunk, old_key)});
  }
  if (!may_be_put_back(change)) return;
  copy_change(chunk, change, mapping_.table(change.table).key_width, chunk_);
  applied_.emplace(std::pair(change.table, key),
                   static_cast<std::uint32_t>(chunk_.changes().size() - 1));
}

void HeldChanges::drop(TableId table, std::string_view key) {
  std::erase_if(held_, [&](const Held& held) { return held.table == table && held.key == key; });
  // While nothing is held, nobody notes what is applied: what was noted would grow old.
  if (held_.empty()) clear();
}

bool HeldChanges::moving(TableId table, std::string_view key) const {
  return std::any_of(held_.begin(), held_.end(), [&](const Held& held) {
    const Change& change = chunk_.changes()[held.change];
    if (held.table != table || change.old_key == Change::kNone) return false;
    const auto old_key = chunk_.old_key(change, mapping_.table(table).key_width);
    return held.key == key || key_text(chunk_, old_key) == key;
  });
}

void HeldChanges::settle(Transaction& transaction, bool last) {
  if (held_.empty()) return;
  std::size_t to_act = acting();
  for (const Held& held : held_) {
    if (may_be_put_back(chunk_.changes()[held.change])) {
      applied_.insert_or_assign(std::pair(held.table, held.key), held.change);
    }
  }
  try_together(transaction);
  for (bool done = false; !done;) {
    do {
      try_until_stuck(transaction);
    } while (break_circles(transaction) || close_references(transaction) ||
             (last && null_orphans(transaction)));
    done = acting() == to_act;
    to_act = acting();
    if (!done) put_back(transaction);
  }
  if (held_.empty()) clear();
}

void HeldChanges::try_together(Transaction& transaction) {
  if (held_.size() == 1) return;
  std::vector<std::uint32_t> all;
  for (const Held& held : held_) all.push_back(held.change);
  if (!transaction.attempt(chunk_, all)) held_.clear();
}

/// Who does not fit any more is held from now on.
void HeldChanges::put_back(Transaction& transaction) {
  std::set<std::uint32_t> held;
  for (const Held& each : held_) held.insert(each.change);
  std::vector<Held> rows;
  for (const auto& [key, change] : applied_) {
    if (!held.contains(change)) rows.push_back({change, key.first, key.second, {}});
  }
  put_back(transaction, rows);
}

void HeldChanges::put_back(Transaction& transaction, std::span<const Held> rows) {
  if (rows.empty()) return;
  std::vector<std::uint32_t> all;
  for (const Held& row : rows) all.push_back(row.change);
  std::sort(all.begin(), all.end());
  auto error = transaction.attempt(chunk_, all);
  if (!error) return;
  if (rows.size() > 1) {
    put_back(transaction, rows.first(rows.size() / 2));
    put_back(transaction, rows.subspan(rows.size() / 2));
    return;
  }
  const Held& row = rows.front();
  held_.push_back({row.change, row.table, row.key, std::move(*error)});
}

void HeldChanges::try_until_stuck(Transaction& transaction) {
  // A chain resolves in one pass if walked from its free end: so both ways in turn.
  bool forward = true;
  while (try_each(transaction, forward)) forward = !forward;
}

bool HeldChanges::try_each(Transaction& transaction, bool forward) {
  bool progress = false;
  for (std::size_t n = held_.size(); n > 0; --n) {
    const std::size_t i = forward ? held_.size() - n : n - 1;
    auto error = transaction.attempt(chunk_, std::span(&held_[i].change, 1));
    if (error) {
      held_[i].error = std::move(*error);
    } else {
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(i));
      progress = true;
    }
  }
  return progress;
}

bool HeldChanges::null_orphans(Transaction& transaction) {
  const auto applied = [&](const Held& held) { return null_orphan(transaction, held); };
  return std::erase_if(held_, applied) != 0;
}

bool HeldChanges::null_orphan(Transaction& transaction, const Held& held) const {
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
    copy_change(chunk_, change, table.key_width, bare, nulls);
    const std::uint32_t only = 0;
    error = transaction.attempt(bare, std::span(&only, 1));
  }
  return !error;
}

// Of a rename both keys are wrong at this side from now on.
void HeldChanges::report(std::vector<Reject>& rejects) const {
  for (const Held& held : held_) {
    rejects.push_back({held.table, held.key, held.error.reason, held.error.sqlstate});
    const Change& change = chunk_.changes()[held.change];
    if (change.old_key == Change::kNone) continue;
    const auto width = mapping_.table(held.table).key_width;
    rejects.push_back({held.table, key_text(chunk_, chunk_.old_key(change, width)),
                       held.error.reason, held.error.sqlstate});
  }
}

void HeldChanges::clear() {
  held_.clear();
  applied_.clear();
  chunk_.clear();
}

}  // namespace switchback
