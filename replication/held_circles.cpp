// Held changes whose rows have each other's unique values or keys, or refer to each other: all of
// them let go first, then each takes its own.
#include <algorithm>
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

constexpr std::string_view kForeignKeyViolation = "23503";

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
  ++placeholders_;
  if ((renamed && !unique.key_moves) || !add_key(held, out)) return out.drop_row(), false;
  bool parked = renamed;
  for (std::uint16_t i = table.key_width; i < row.size(); ++i) {
    const ColumnMap& column = table.columns[i];
    const bool watched =
        std::find(unique.columns.begin(), unique.columns.end(), i) != unique.columns.end() &&
        row[i].kind != Kind::kUnchanged && !column.generated;
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

std::vector<HeldChanges::Held*> HeldChanges::stuck_over_values(
    const std::set<std::uint32_t>& hopeless) {
  std::vector<Held*> stuck;
  for (Held& held : held_) {
    const bool upsert = chunk_.changes()[held.change].op == Op::kUpsert;
    if (upsert && over_a_value(held.error) && !hopeless.contains(held.change)) {
      stuck.push_back(&held);
    }
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

/// False if one of them could not let go or did not get what it wanted; it is hopeless from now on.
bool HeldChanges::exchange_one_by_one(Transaction& transaction, const std::vector<Held*>& stuck,
                                      std::set<std::uint32_t>& hopeless) {
  const std::uint32_t only = 0;
  const auto before = hopeless.size();
  std::vector<std::pair<Held*, Chunk>> parked;
  for (Held* held : stuck) {
    bool done = false;
    for (const bool nulls : {true, false}) {
      Chunk parking;
      const auto& unique = transaction.unique_columns(held->table);
      if (done || !add_parking(*held, unique, nulls, parking)) continue;
      done = !transaction.attempt(parking, std::span(&only, 1));
      if (done) parked.emplace_back(held, std::move(parking));
    }
    if (!done) hopeless.insert(held->change);
  }
  // Who could not let go keeps its values from the others, so they are not tried in vain.
  if (hopeless.size() != before) return false;
  for (auto& [held, parking] : parked) {
    Chunk final;
    add_unparking(*held, parking, parking.changes().front(), final);
    auto error = transaction.attempt(final, std::span(&only, 1));
    if (!error) continue;
    held->error = std::move(*error);
    hopeless.insert(held->change);
  }
  return hopeless.size() == before;
}

/// True if some of the changes could be applied, and are no longer held.
bool HeldChanges::break_circles(Transaction& transaction) {
  std::set<std::uint32_t> hopeless;
  for (int round = 0; round < kMostRounds; ++round) {
    const auto stuck = stuck_over_values(hopeless);
    if (stuck.empty()) return false;
    transaction.mark();
    const bool done = round == 0 ? exchange_at_once(transaction, stuck)
                                 : exchange_one_by_one(transaction, stuck, hopeless);
    if (done) {
      transaction.keep();
      std::set<std::uint32_t> applied;
      for (const Held* held : stuck) applied.insert(held->change);
      std::erase_if(held_, [&](const Held& held) { return applied.contains(held.change); });
      return true;
    }
    transaction.back();
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
    if (change.op != Op::kUpsert || loose.empty()) {
      strict.push_back(&held);
      continue;
    }
    Chunk bare;
    copy_change(chunk_, change, table.key_width, bare, loose);
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
