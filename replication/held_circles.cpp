// Held changes whose rows have each other's unique values or keys, or refer to each other: all of
// them let go first, then each takes its own.
#include <algorithm>
#include <map>
#include <numeric>

#include "replication/held_changes.h"
#include "replication/unique_values.h"
#include "state/model/copy_change.h"

namespace switchback {
namespace {

constexpr std::string_view kUniqueViolation = "23505";
constexpr std::string_view kExclusionViolation = "23P01";

// Each round leaves out what failed in the one before.
constexpr int kMostRounds = 16;

/// All columns of references that a row of the table can do without for a while.
std::vector<std::uint16_t> loose_columns(const TableMap& table) {
  std::vector<std::uint16_t> loose;
  for (const ForeignKey& key : table.foreign_keys) {
    for (const std::uint16_t column : key.columns) {
      if (column >= table.key_width && !table.columns[column].not_null) loose.push_back(column);
    }
  }
  return loose;
}

bool over_a_value(const RowError& error) {
  return error.sqlstate == kUniqueViolation || error.sqlstate == kExclusionViolation;
}

}  // namespace

/// Appends the key of the row; of a rename the old one, and a placeholder to go to.
bool HeldChanges::add_key(const Held& held, Chunk& out) {
  const TableMap& table = mapping_.table(held.table);
  const Change& change = chunk_.changes()[held.change];
  const bool renamed = change.old_key != Change::kNone;
  const auto key =
      renamed ? chunk_.old_key(change, table.key_width) : chunk_.row(change).first(table.key_width);
  for (const Cell& cell : key) out.add(copy_cell(cell, chunk_, out));
  if (!renamed) return true;
  const auto elsewhere = placeholder(table.columns[0], placeholders_, out);
  if (!elsewhere) return false;
  out.add(*elsewhere);
  for (const Cell& cell : key.subspan(1)) out.add(copy_cell(cell, chunk_, out));
  return true;
}

/// Appends the change that makes the row of `held` let go: placeholders in its unique columns and,
/// if its key is about to change, in its key. False if there is nothing it could let go of.
bool HeldChanges::add_parking(const Held& held, const UniqueColumns& unique, bool nulls,
                              Chunk& out) {
  const TableMap& table = mapping_.table(held.table);
  const Change& change = chunk_.changes()[held.change];
  const auto row = chunk_.row(change);
  const bool renamed = change.old_key != Change::kNone;
  const bool leaves = change.op == Op::kDelete;
  if (!leaves && change.op != Op::kUpsert) return false;
  ++placeholders_;
  if ((renamed && !unique.key_moves) || !add_key(held, out)) return out.drop_row(), false;
  bool parked = renamed;
  for (std::uint16_t i = table.key_width; i < (leaves ? table.columns.size() : row.size()); ++i) {
    const ColumnMap& column = table.columns[i];
    const bool watched =
        std::find(unique.columns.begin(), unique.columns.end(), i) != unique.columns.end() &&
        (leaves ? !column.old_name.empty() : row[i].kind != Kind::kUnchanged) && !column.generated;
    std::optional<Cell> cell;
    if (watched) {
      cell = nulls && !column.not_null ? Cell::null() : placeholder(column, placeholders_, out);
    }
    parked = parked || cell.has_value();
    out.add(cell.value_or(Cell::unchanged()));
  }
  if (!parked) return out.drop_row(), false;
  renamed ? out.end_rename(held.table, table.key_width) : out.end_upsert(held.table);
  return true;
}

/// Appends the held change as it reads once its row is parked: a rename starts from there.
void HeldChanges::add_unparking(const Held& held, const Chunk& parking, const Change& parked,
                                Chunk& out) const {
  const TableMap& table = mapping_.table(held.table);
  const Change& change = chunk_.changes()[held.change];
  if (change.old_key == Change::kNone) return copy_change(chunk_, change, table.key_width, out);
  for (const Cell& cell : parking.row(parked).first(table.key_width)) {
    out.add(copy_cell(cell, parking, out));
  }
  for (const Cell& cell : chunk_.row(change)) out.add(copy_cell(cell, chunk_, out));
  out.end_rename(held.table, table.key_width);
}

std::vector<HeldChanges::Held*> HeldChanges::stuck_over_values() {
  std::vector<Held*> stuck;
  for (Held& held : held_) {
    const bool upsert = chunk_.changes()[held.change].op == Op::kUpsert;
    if (upsert && over_a_value(held.error)) stuck.push_back(&held);
  }
  return stuck;
}

/// In two round trips, or not at all.
bool HeldChanges::exchange_at_once(Transaction& transaction, const std::vector<Held*>& stuck) {
  Chunk parking, final;
  for (const Held* held : stuck) {
    if (!add_parking(*held, transaction.unique_columns(held->table), true, parking)) return false;
    add_unparking(*held, parking, parking.changes().back(), final);
  }
  std::vector<std::uint32_t> all(stuck.size());
  std::iota(all.begin(), all.end(), 0);
  return !transaction.attempt(parking, all) && !transaction.attempt(final, all);
}

/// Makes the row of `held` let go, and `held` the change that then remains to be done. False if it
/// could not: it holds nothing, or the server wants the row as it is.
bool HeldChanges::park(Transaction& transaction, Held& held) {
  const auto& unique = transaction.unique_columns(held.table);
  const std::uint32_t only = 0;
  for (const bool nulls : {true, false}) {
    Chunk parking;
    if (!add_parking(held, unique, nulls, parking)) return false;
    if (transaction.attempt(parking, std::span(&only, 1))) continue;
    if (chunk_.changes()[held.change].old_key != Change::kNone) {
      Chunk final;
      add_unparking(held, parking, parking.changes().front(), final);
      copy_change(final, final.changes().front(), mapping_.table(held.table).key_width, chunk_);
      held.change = static_cast<std::uint32_t>(chunk_.changes().size() - 1);
    }
    return true;
  }
  return false;
}

/// Everybody lets go who can, then each takes its own or leaves. True if all who let go are done;
/// else who is not is hopeless from now on, and what was tried has to be taken back.
bool HeldChanges::park_and_try(Transaction& transaction, std::set<std::uint32_t>& hopeless) {
  std::map<std::uint32_t, std::uint32_t> parked;  // what remains to be done -> the change as held
  for (Held& held : held_) {
    const std::uint32_t as_held = held.change;
    const bool stuck = over_a_value(held.error) || held.error.sqlstate == kForeignKeyViolation;
    if (stuck && !hopeless.contains(as_held) && park(transaction, held)) {
      parked.emplace(held.change, as_held);
    }
  }
  if (parked.empty()) return false;
  do {
    try_until_stuck(transaction);
  } while (close_references(transaction));
  const auto before = hopeless.size();
  for (const Held& held : held_) {
    const auto left = parked.find(held.change);
    if (left != parked.end()) hopeless.insert(left->second);
  }
  return hopeless.size() == before;
}

/// True if some of the changes could be applied, and are no longer held. A row that refuses to
/// leave because others refer to it lets go, too: they may wait for one that wants its value.
bool HeldChanges::break_circles(Transaction& transaction) {
  const auto over_values = stuck_over_values();
  if (over_values.empty()) return false;
  transaction.mark();
  if (exchange_at_once(transaction, over_values)) {
    transaction.keep();
    std::set<std::uint32_t> applied;
    for (const Held* held : over_values) applied.insert(held->change);
    std::erase_if(held_, [&](const Held& held) { return applied.contains(held.change); });
    return true;
  }
  transaction.back();
  std::set<std::uint32_t> hopeless;
  for (int round = 0; round < kMostRounds; ++round) {
    const auto before = hopeless.size();
    const std::vector<Held> as_held = held_;
    transaction.mark();
    if (park_and_try(transaction, hopeless)) return transaction.keep(), true;
    transaction.back();
    held_ = as_held;
    if (hopeless.size() == before) return false;
  }
  return false;
}

/// True if rows that refer to each other could be applied: first without their references.
bool HeldChanges::close_references(Transaction& transaction) {
  std::set<std::uint32_t> hopeless;
  for (int round = 0; round < kMostRounds; ++round) {
    const auto before = hopeless.size();
    transaction.mark();
    if (loosen_and_close(transaction, hopeless)) {
      transaction.keep();
      std::erase_if(held_, [&](const Held& held) {
        return held.error.sqlstate == kForeignKeyViolation && !hopeless.contains(held.change);
      });
      return true;
    }
    transaction.back();
    if (hopeless.size() == before) return false;
  }
  return false;
}

/// Appends the row that is to be deleted, as it stands but for these columns, which are NULL.
void HeldChanges::add_bare(const Held& held, std::span<const std::uint16_t> nulls,
                           Chunk& out) const {
  const TableMap& table = mapping_.table(held.table);
  const auto key = chunk_.row(chunk_.changes()[held.change]).first(table.key_width);
  for (const Cell& cell : key) out.add(copy_cell(cell, chunk_, out));
  for (std::uint16_t i = table.key_width; i < table.columns.size(); ++i) {
    const bool null = std::find(nulls.begin(), nulls.end(), i) != nulls.end();
    out.add(null ? Cell::null() : Cell::unchanged());
  }
  out.end_upsert(held.table);
}

/// False if nobody is left, or one of them could not be applied; it is hopeless from now on.
bool HeldChanges::loosen_and_close(Transaction& transaction, std::set<std::uint32_t>& hopeless) {
  const std::uint32_t only = 0;
  const auto before = hopeless.size();
  std::vector<Held*> strict, loosened;
  for (Held& held : held_) {
    if (held.error.sqlstate != kForeignKeyViolation || hopeless.contains(held.change)) continue;
    const TableMap& table = mapping_.table(held.table);
    const Change& change = chunk_.changes()[held.change];
    const auto loose = loose_columns(table);
    if (loose.empty() || (change.op != Op::kUpsert && change.op != Op::kDelete)) {
      strict.push_back(&held);
      continue;
    }
    Chunk bare;
    if (change.op == Op::kUpsert) {
      copy_change(chunk_, change, table.key_width, bare, loose);
    } else {
      add_bare(held, loose, bare);
    }
    const bool done = !transaction.attempt(bare, std::span(&only, 1));
    done ? loosened.push_back(&held) : static_cast<void>(hopeless.insert(held.change));
  }
  for (const auto* held_now : {&strict, &loosened}) {
    for (Held* held : *held_now) {
      auto error = transaction.attempt(chunk_, std::span(&held->change, 1));
      if (!error) continue;
      held->error = std::move(*error);
      hopeless.insert(held->change);
    }
  }
  return !loosened.empty() && hopeless.size() == before;
}

}  // namespace switchback
