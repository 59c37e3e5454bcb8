#include "bridge/second_tries.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "bridge/repair_rows.h"
#include "state/base/error.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRoundEvery{1'000};
constexpr milliseconds kCallAtLeastEvery{8'000};  // however often it was in vain
constexpr int kRestPerRound = 9;                  // times as long as the round itself took
constexpr std::size_t kMostInRound = 64;
constexpr std::size_t kReadAtOnce = 16;
constexpr std::size_t kMostCalled = 64;

constexpr std::string_view kForeignKey = "23503";

bool another_row_is_in_the_way(std::string_view sqlstate) {
  return sqlstate == kForeignKey || sqlstate == "23505" || sqlstate == "23P01";
}

std::vector<Cell> pick(std::span<const Cell> row, const std::vector<std::uint16_t>& columns) {
  std::vector<Cell> cells;
  for (const std::uint16_t column : columns) cells.push_back(row[column]);
  return cells;
}

}  // namespace

SecondTries::SecondTries(std::shared_ptr<const Mapping> mapping,
                         const std::vector<QuarantineEntry>& open)
    : mapping_(std::move(mapping)),
      referenced_(mapping_->tables.size()),
      children_(mapping_->tables.size()),
      patience_(kRoundEvery) {
  for (const TableMap& table : mapping_->tables) {
    for (const ForeignKey& key : table.foreign_keys) {
      referenced_[index(key.parent)].insert(key.parent_columns);
      children_[index(key.parent)].insert(table.id);
    }
  }
  for (const QuarantineEntry& entry : open) {
    if (entry.reason.starts_with(kNotKept)) continue;
    // SQLite's book does not say which kind of reason it was.
    const bool may_be = entry.sqlstate.empty() || another_row_is_in_the_way(entry.sqlstate);
    if (entry.table && !entry.accepted && may_be) wait_anew({*entry.table, entry.key});
  }
}

void SecondTries::wait_anew(const Name& name) {
  if (is_due_.insert(name).second) due_.push_back(name);
}

std::uint64_t SecondTries::parent_hash(TableId parent,
                                       const std::vector<std::uint16_t>& parent_columns,
                                       const Chunk& chunk, std::span<const Cell> row,
                                       const std::vector<std::uint16_t>& columns) const {
  std::string text = fmt::format("{}", index(parent));
  for (const std::uint16_t column : parent_columns) text += fmt::format(",{}", column);
  text += key_text(chunk, pick(row, columns));
  return XXH3_64bits(text.data(), text.size());
}

void SecondTries::note_applied(const Chunk& chunk) {
  if (orphans_.empty() && watchers_.empty()) return;
  for (const Change& change : chunk.changes()) {
    if (watchers_.contains(change.table)) touched_.insert(change.table);
    if (change.op != Op::kUpsert || !parents_.contains(change.table)) continue;
    const auto row = chunk.row(change);
    for (const auto& columns : referenced_[index(change.table)]) {
      const auto waiting = orphans_.find(parent_hash(change.table, columns, chunk, row, columns));
      if (waiting == orphans_.end()) continue;
      for (const Name& name : waiting->second) wait_anew(name);
      orphans_.erase(waiting);
    }
  }
}

void SecondTries::note_rejected(std::span<const Reject> rejects) {
  for (const Reject& reject : rejects) {
    if (another_row_is_in_the_way(reject.sqlstate)) wait_anew({reject.table, reject.key});
  }
}

bool SecondTries::due(Deadline::Clock::time_point now) {
  if (now < next_round_) return false;
  if (due_.empty() && !touched_.empty() && now >= next_call_) {
    call_watchers();
    next_call_ = now + patience_;
    patience_ = std::min(patience_ * 2, kCallAtLeastEvery);
  }
  return !due_.empty();
}

// Those that are called wait no longer, and wait anew if it was in vain: so each has its turn.
void SecondTries::call_watchers() {
  for (const TableId table : touched_) {
    auto& [names, last_called] = watchers_[table];
    const std::size_t calls = std::min(kMostCalled, names.size());
    for (std::size_t n = 0; n < calls; ++n) {
      auto next = names.upper_bound(last_called);
      if (next == names.end()) next = names.begin();
      last_called = *next;
      wait_anew(*next);
      names.erase(next);
    }
    if (names.empty()) watchers_.erase(table);
  }
  touched_.clear();
}

Chunk SecondTries::take_keys(std::vector<Name>& names) {
  Chunk keys;
  while (names.size() < kMostInRound && !due_.empty()) {
    Name name = std::move(due_.front());
    due_.pop_front();
    is_due_.erase(name);
    if (!add_key_of(mapping_->table(name.first), name.second, keys)) continue;
    names.push_back(std::move(name));
  }
  return keys;
}

/// False if the primary cannot be read now; nothing has happened to the sink then.
bool SecondTries::read(const Chunk& keys, const MakeReader& make_reader, Chunk& rows) {
  try {
    const auto reader = make_reader();
    std::map<TableId, Chunk> waiting;
    for (const Change& change : keys.changes()) {
      Chunk& of_table = waiting[change.table];
      for (const Cell& cell : keys.row(change)) of_table.add(copy_cell(cell, keys, of_table));
      of_table.end_delete(change.table);
      if (of_table.changes().size() < kReadAtOnce) continue;
      reader->fetch(change.table, of_table, rows);
      of_table.clear();
    }
    for (auto& [table, of_table] : waiting) {
      if (!of_table.empty()) reader->fetch(table, of_table, rows);
    }
    return true;
  } catch (const Error& error) {
    log_line(LogLevel::kDebug,
             fmt::format("rows in quarantine cannot be read again now: {}", error.what()));
    return false;
  }
}

std::size_t SecondTries::try_some(const Position& applied, const MakeReader& make_reader,
                                  ChangeSink& sink) {
  const auto start = Deadline::Clock::now();
  std::vector<Name> names;
  const Chunk keys = take_keys(names);
  Chunk rows;
  std::vector<Reject> rejects;
  const bool could_read = read(keys, make_reader, rows);
  if (could_read && !names.empty()) {
    rows.boundary = applied;
    sink.apply(rows, rejects);
    sink.commit(applied, rejects);
  }
  const auto now = Deadline::Clock::now();
  const auto took = std::chrono::duration_cast<milliseconds>(now - start);
  next_round_ = now + std::max(kRoundEvery, took * kRestPerRound);
  if (!could_read) {
    for (const Name& name : names) wait_anew(name);
    return 0;
  }
  std::map<Name, const Reject*> refused;
  for (const Reject& reject : rejects) refused[{reject.table, reject.key}] = &reject;
  for (const Change& change : rows.changes()) {
    const auto width = mapping_->table(change.table).key_width;
    const auto at = refused.find({change.table, key_text(rows, rows.row(change).first(width))});
    if (at != refused.end()) wait_for_cause(rows, change, *at->second);
  }
  const std::size_t done = names.size() - std::min(names.size(), refused.size());
  if (done == 0) return 0;
  patience_ = kRoundEvery;
  note_applied(rows);
  log_info(fmt::format("{} rows in quarantine were tried again and went in", done));
  return done;
}

void SecondTries::wait_for_cause(const Chunk& rows, const Change& change, const Reject& reject) {
  const Name name{reject.table, reject.key};
  if (!another_row_is_in_the_way(reject.sqlstate)) return;
  if (reject.sqlstate != kForeignKey) {
    watchers_[change.table].names.insert(name);
  } else if (change.op == Op::kUpsert) {
    wait_for_parents(rows, change, name);
  } else {
    for (const TableId child : children_[index(change.table)]) watchers_[child].names.insert(name);
  }
}

void SecondTries::wait_for_parents(const Chunk& rows, const Change& change, const Name& name) {
  const auto row = rows.row(change);
  for (const ForeignKey& key : mapping_->table(change.table).foreign_keys) {
    const auto cells = pick(row, key.columns);
    const bool refers = std::none_of(cells.begin(), cells.end(),
                                     [](const Cell& cell) { return cell.kind == Kind::kNull; });
    if (!refers) continue;
    const auto hash = parent_hash(key.parent, key.parent_columns, rows, row, key.columns);
    auto& waiting = orphans_[hash];
    if (std::find(waiting.begin(), waiting.end(), name) == waiting.end()) waiting.push_back(name);
    parents_.insert(key.parent);
  }
}

}  // namespace switchback
