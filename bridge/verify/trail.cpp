#include "bridge/verify/trail.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <unordered_set>

#include "bridge/verify/columns.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/log.h"
#include "state/model/copy_change.h"
#include "state/model/meaning.h"
#include "state/ports/change_sink.h"

namespace switchback {
namespace {

constexpr std::chrono::seconds kWriteEvery{5};
constexpr std::size_t kMostDiffering = 1'000;
constexpr std::size_t kMostExamples = 5;

std::size_t bytes_of(const std::vector<Chunk>& chunks) {
  std::size_t bytes = 0;
  for (const Chunk& chunk : chunks) bytes += chunk.bytes();
  return bytes;
}

std::size_t changes_in(const std::vector<Chunk>& chunks) {
  std::size_t count = 0;
  for (const Chunk& chunk : chunks) count += chunk.changes().size();
  return count;
}

}  // namespace

Trail::Trail(std::filesystem::path file, TrailLimits limits)
    : file_(std::move(file)), limits_(limits) {}

void Trail::turn(Side to, std::shared_ptr<const Mapping> mapping) {
  const std::lock_guard lock(mutex_);
  if (to_ == to && begun_) {
    begin_from_ = compared_;
  } else if (to_ != to) {
    begin_from_ = to_ ? std::nullopt : read_mark(to);
  }
  begun_ = false;
  ++turn_;
  to_ = to;
  written_.reset();
  mapping_ = std::move(mapping);
  fresh_.clear();
  round_.clear();
  differing_.clear();
  fresh_bytes_ = 0;
  in_round_ = skipping_ = false;
}

void Trail::forget() {
  const std::lock_guard lock(mutex_);
  fresh_.clear();
  round_.clear();
  fresh_bytes_ = 0;
  in_round_ = false;
  compared_ = committed_;
  write_mark();
}

// ---- the pump

Position Trail::begin(const Position& applied) {
  const std::lock_guard lock(mutex_);
  const auto fits = [&](const Position& from) {
    return from == Position{} || applied.reaches(from);
  };
  if (begun_) begin_from_ = compared_;
  begun_ = true;
  compared_ = begin_from_ && fits(*begin_from_) ? *begin_from_ : applied;
  committed_ = applied;
  skipping_ = false;
  write_mark();
  return compared_;
}

void Trail::note(const Chunk& changes) {
  const std::lock_guard lock(mutex_);
  if (skipping_ || !mapping_ || changes.empty()) return;
  if (fresh_.empty()) {
    fresh_since_ = Clock::now();
    compact_at_ = limits_.bytes / 2;
  }
  if (fresh_.empty() || fresh_.back().full()) fresh_.emplace_back();
  Chunk& out = fresh_.back();
  const std::size_t before = out.bytes();
  for (const Change& change : changes.changes()) {
    const TableMap& map = mapping_->table(change.table);
    if (change.op == Op::kTruncate) {
      drop(fmt::format("{}.{} was emptied as a whole, or changed in too many rows", map.schema,
                       map.table));
      return;
    }
    copy_key(map.id, changes.row(change).first(map.key_width), changes, out);
    if (change.old_key != Change::kNone) {
      copy_key(map.id, changes.old_key(change, map.key_width), changes, out);
    }
  }
  fresh_bytes_ += out.bytes() - before;
  if (fresh_bytes_ > compact_at_) compact();
  changed_.notify_all();
}

/// Keys that come again and again count once.
void Trail::compact() {
  std::vector<Chunk> compacted;
  for (Part& part : collapse(fresh_)) compacted.push_back(std::move(part.keys));
  fresh_ = std::move(compacted);
  fresh_bytes_ = bytes_of(fresh_);
  compact_at_ = std::max(limits_.bytes / 2, 2 * fresh_bytes_);
  if (fresh_bytes_ > limits_.bytes) drop("more was changed than could be looked at in time");
}

void Trail::drop(std::string why) {
  fresh_.clear();
  round_.clear();
  fresh_bytes_ = 0;
  in_round_ = false;
  skipping_ = true;
  ++turn_;  // what is being compared just now comes too late
  ++counts_.dropped;
  counts_.why_dropped = std::move(why);
  changed_.notify_all();
}

void Trail::drop_if_old() {
  const std::lock_guard lock(mutex_);
  if (fresh_.empty() && !in_round_) return;
  const auto since = in_round_ ? round_since_ : fresh_since_;
  if (Clock::now() - since < limits_.age) return;
  drop("what was changed could not be looked at for too long");
  settle();
}

void Trail::committed(const Position& boundary) {
  const std::lock_guard lock(mutex_);
  committed_ = boundary;
  settle();
}

/// With nothing owed, all that is committed counts as compared.
void Trail::settle() {
  if (skipping_ && fresh_.empty()) skipping_ = false;
  if (fresh_.empty() && !in_round_) compared_ = committed_;
}

Position Trail::compared() const {
  const std::lock_guard lock(mutex_);
  return compared_;
}

// ---- whoever compares

bool Trail::wait_for_debt(Clock::time_point until, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, stop, until, [&] { return !fresh_.empty() || in_round_; });
}

// By table, in parts that can be read at once, each key once.
std::vector<Trail::Part> Trail::collapse(const std::vector<Chunk>& keys) const {
  std::map<TableId, std::vector<std::pair<const Chunk*, const Change*>>> by_table;
  for (const Chunk& chunk : keys) {
    for (const Change& change : chunk.changes()) {
      by_table[change.table].emplace_back(&chunk, &change);
    }
  }
  std::vector<Part> parts;
  for (const auto& [table, changes] : by_table) {
    const TableMap& map = mapping_->table(table);
    RowHasher hasher(map, {});
    std::unordered_set<std::uint64_t> seen;
    Part part{turn_, 0, table, {}};
    for (const auto& [chunk, change] : changes) {
      const auto key = chunk->row(*change).first(map.key_width);
      if (!can_be_fetched(map, key, *chunk)) continue;
      if (!seen.insert(hasher.key(key, *chunk).low).second) continue;
      copy_key(map.id, key, *chunk, part.keys);
      if (part.keys.changes().size() < limits_.keys_at_once) continue;
      parts.push_back(std::move(part));
      part = {turn_, 0, table, {}};
    }
    if (!part.keys.empty()) parts.push_back(std::move(part));
  }
  return parts;
}

bool Trail::begin_round() {
  const std::lock_guard lock(mutex_);
  if (in_round_) return true;
  if (fresh_.empty()) return false;
  for (Part& part : collapse(fresh_)) {
    part.number = ++parts_;
    round_.push_back(std::move(part));
  }
  fresh_.clear();
  fresh_bytes_ = 0;
  round_since_ = fresh_since_;
  round_until_ = committed_;
  round_whole_ = in_round_ = true;
  return true;
}

std::optional<Trail::Part> Trail::next_part() const {
  const std::lock_guard lock(mutex_);
  if (round_.empty()) return std::nullopt;
  return round_.front();
}

std::uint64_t Trail::part_done(const Part& part, const std::vector<Differs>& differing,
                               const Chunk& again) {
  const std::lock_guard lock(mutex_);
  if (part.turn != turn_) return 0;
  counts_.compared += part.keys.changes().size() - again.changes().size();
  std::set<Name> before;
  if (!differing_.empty()) {
    for (const Change& change : part.keys.changes()) {
      const Name name{part.table, key_text(part.keys, part.keys.row(change))};
      if (differing_.erase(name) != 0) before.insert(name);
    }
  }
  std::uint64_t found = 0;
  for (const Differs& row : differing) {
    const Name name{part.table, row.key};
    if (!before.contains(name)) ++found;
    if (differing_.size() < kMostDiffering) differing_[name] = row.words;
  }
  counts_.found += found;
  const bool in_round = !round_.empty() && round_.front().number == part.number;
  if (!again.empty()) {
    if (fresh_.empty()) fresh_since_ = Clock::now();
    fresh_.push_back(again);
    fresh_bytes_ += again.bytes();
    if (in_round) round_whole_ = false;
  }
  if (in_round) round_.pop_front();
  return found;
}

void Trail::end_round() {
  const std::lock_guard lock(mutex_);
  if (in_round_ && round_.empty()) {
    in_round_ = false;
    if (round_whole_) compared_ = round_until_;
    settle();
  }
  if (Clock::now() - written_at_ >= kWriteEvery) write_mark();
}

void Trail::add_differing(std::vector<Chunk>& keys) const {
  if (differing_.empty()) return;
  Chunk& out = keys.emplace_back();
  for (const auto& [name, words] : differing_) {
    add_key_of(mapping_->table(name.first), name.second, out);
  }
}

std::vector<Trail::Part> Trail::outstanding() const {
  const std::lock_guard lock(mutex_);
  std::vector<Chunk> keys = fresh_;
  for (const Part& part : round_) keys.push_back(part.keys);
  add_differing(keys);
  return collapse(keys);
}

std::vector<Trail::Part> Trail::differing() const {
  const std::lock_guard lock(mutex_);
  std::vector<Chunk> keys;
  add_differing(keys);
  return collapse(keys);
}

TrailStatus Trail::status() const {
  const std::lock_guard lock(mutex_);
  TrailStatus out = counts_;
  out.owed = changes_in(fresh_);
  for (const Part& part : round_) out.owed += part.keys.changes().size();
  if (out.owed != 0) {
    const auto since = in_round_ ? round_since_ : fresh_since_;
    out.age = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since);
  }
  out.differing = differing_.size();
  for (const auto& [name, words] : differing_) {
    if (out.examples.size() < kMostExamples) out.examples.push_back(words);
  }
  return out;
}

// ---- the mark

// Older than the truth is good enough: then more is told again. So is none: the full comparison
// that follows a start knows nothing of what came before.
std::optional<Position> Trail::read_mark(Side to) const {
  std::istringstream text(read_file(file_));
  std::string side;
  Position position;
  if (!(text >> side >> position.history >> position.value >> position.proof)) return std::nullopt;
  return side == to_string(to) ? std::optional(position) : std::nullopt;
}

void Trail::write_mark() {
  written_at_ = Clock::now();
  if (!to_ || written_ == compared_) return;
  try {
    replace_file(file_,
                 fmt::format("{} {} {} {}\n", to_string(*to_), compared_.history, compared_.value,
                             compared_.proof),
                 0600);
    written_ = compared_;
  } catch (const Error& error) {
    log_line(LogLevel::kDebug, fmt::format("verify: {}", error.what()));
  }
}

}  // namespace switchback
