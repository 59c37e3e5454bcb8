#include "bridge/second_tries.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <iterator>

#include "bridge/repair_rows.h"
#include "state/base/error.h"
#include "state/base/log.h"
#include "state/model/copy_change.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRoundEvery{1'000};
constexpr milliseconds kCallAtLeastEvery{8'000};  // however often it was in vain
constexpr int kRestPerRound = 9;                  // times as long as the round itself took
constexpr std::size_t kMostInRound = 64;
constexpr std::size_t kReadAtOnce = 16;
constexpr std::size_t kMostCalled = 64;
constexpr milliseconds kLogEvery{1'000};
constexpr int kMostLogged = 5;

bool another_row_is_in_the_way(std::string_view sqlstate) {
  return sqlstate == kForeignKeyViolation || sqlstate == "23505" || sqlstate == "23P01";
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

void SecondTries::wait_anew(const RowName& name) {
  orphans_.forget(name);
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
  for (const Change& change : chunk.changes()) note_applied(chunk, change);
}

void SecondTries::note_applied(const Chunk& chunk, const Change& change) {
  if (watchers_.contains(change.table)) touched_.insert(change.table);
  if (orphans_.empty() || change.op != Op::kUpsert || !parents_.contains(change.table)) return;
  const auto row = chunk.row(change);
  for (const auto& columns : referenced_[index(change.table)]) {
    const auto key = parent_hash(change.table, columns, chunk, row, columns);
    for (const RowName& name : orphans_.waiting_for(key)) wait_anew(name);
  }
}

void SecondTries::note_rejected(std::span<const Reject> rejects) {
  log_rejected(rejects);
  for (const Reject& reject : rejects) {
    if (another_row_is_in_the_way(reject.sqlstate)) wait_anew({reject.table, reject.key});
  }
}

// The first of them: thousands may come at once, and `quarantine list` has them all.
void SecondTries::log_rejected(std::span<const Reject> rejects) {
  const auto now = Deadline::Clock::now();
  if (now - logged_ > kLogEvery) {
    logged_ = now;
    logged_rows_ = 0;
  }
  for (const Reject& reject : rejects) {
    if (reject.accepted || logged_rows_ == kMostLogged) continue;
    ++logged_rows_;
    log_warning(fmt::format("into quarantine: {} {}: {}",
                            qualified_name(mapping_->table(reject.table)), reject.key,
                            reject.reason));
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

Chunk SecondTries::take_keys(std::set<RowName>& names) {
  Chunk keys;
  while (names.size() < kMostInRound && !due_.empty()) {
    RowName name = std::move(due_.front());
    due_.pop_front();
    is_due_.erase(name);
    if (!add_key_of(mapping_->table(name.first), name.second, keys)) continue;
    names.insert(std::move(name));
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
      copy_key(change.table, keys.row(change), keys, of_table);
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
  std::set<RowName> names;
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
    for (const RowName& name : names) wait_anew(name);
    return 0;
  }
  const std::size_t refused = sort_out(rows, rejects, names);
  const std::size_t done = names.size() - std::min(names.size(), refused);
  if (done == 0) return 0;
  patience_ = kRoundEvery;
  log_info(fmt::format("{} rows in quarantine were tried again and went in", done));
  return done;
}

/// Who was refused waits again, and those who waited for the others are called. How many were.
std::size_t SecondTries::sort_out(const Chunk& rows, std::span<const Reject> rejects,
                                  const std::set<RowName>& tried) {
  std::map<RowName, const Reject*> refused;
  std::vector<Reject> others;  // as what was inside of an element that a try has moved
  for (const Reject& reject : rejects) {
    RowName name(reject.table, reject.key);
    if (tried.contains(name)) {
      refused[std::move(name)] = &reject;
    } else {
      others.push_back(reject);
    }
  }
  note_rejected(others);
  for (const RowName& name : tried) {
    if (!refused.contains(name)) forget(name);
  }
  std::vector<const Change*> applied;
  for (const Change& change : rows.changes()) {
    const auto width = mapping_->table(change.table).key_width;
    const auto at = refused.find({change.table, key_text(rows, rows.row(change).first(width))});
    if (at != refused.end()) {
      wait_for_cause(rows, change, *at->second);
    } else {
      applied.push_back(&change);
    }
  }
  for (const Change* change : applied) note_applied(rows, *change);
  for (const auto& [name, reject] : refused) call_circle(name, tried);
  if (!refused.empty()) call_fellows(tried);
  return refused.size();
}

// It went in: who waits for several tables would else be called by the others as well.
void SecondTries::forget(const RowName& name) {
  for (auto at = watchers_.begin(); at != watchers_.end();) {
    at->second.names.erase(name);
    at = at->second.names.empty() ? watchers_.erase(at) : std::next(at);
  }
}

void SecondTries::wait_for_cause(const Chunk& rows, const Change& change, const Reject& reject) {
  const RowName name{reject.table, reject.key};
  if (!another_row_is_in_the_way(reject.sqlstate)) return;
  if (reject.sqlstate != kForeignKeyViolation) {
    watchers_[change.table].names.insert(name);
  } else if (change.op == Op::kUpsert) {
    wait_for_parents(rows, change, name);
  } else {
    for (const TableId child : children_[index(change.table)]) watchers_[child].names.insert(name);
  }
}

void SecondTries::wait_for_parents(const Chunk& rows, const Change& change, const RowName& name) {
  const auto row = rows.row(change);
  std::vector<std::uint64_t> needs, offers;
  for (const ForeignKey& key : mapping_->table(change.table).foreign_keys) {
    const auto cells = pick(row, key.columns);
    const bool refers = std::none_of(cells.begin(), cells.end(),
                                     [](const Cell& cell) { return cell.kind == Kind::kNull; });
    if (!refers) continue;
    needs.push_back(parent_hash(key.parent, key.parent_columns, rows, row, key.columns));
    parents_.insert(key.parent);
  }
  // In a document a row may be missing what encloses it, although no foreign key says what that is.
  if (needs.empty()) {
    for (const TableMap& table : mapping_->tables) watchers_[table.id].names.insert(name);
    return;
  }
  for (const auto& columns : referenced_[index(change.table)]) {
    offers.push_back(parent_hash(change.table, columns, rows, row, columns));
  }
  orphans_.wait(name, std::move(needs), std::move(offers));
}

// Rows that refer to each other, and were refused one by one: no parent of theirs ever arrives.
// Those that were in one round need no other.
void SecondTries::call_circle(const RowName& name, const std::set<RowName>& tried) {
  const std::set<RowName> circle = orphans_.circle_of(name, kMostInRound);
  if (std::includes(tried.begin(), tried.end(), circle.begin(), circle.end())) return;
  for (const RowName& each : circle) {
    orphans_.forget(each);
    if (is_due_.insert(each).second) due_.push_front(each);  // together, in the next round
  }
}

// The same of deletes and unique values: who is in the way is not known, so all are tried together
// if they are few.
void SecondTries::call_fellows(const std::set<RowName>& tried) {
  std::set<RowName> all;
  for (const auto& [table, watchers] : watchers_) {
    all.insert(watchers.names.begin(), watchers.names.end());
    if (all.size() > kMostInRound) return;
  }
  if (std::includes(tried.begin(), tried.end(), all.begin(), all.end())) return;
  for (const auto& [table, watchers] : watchers_) touched_.insert(table);
}

}  // namespace switchback
