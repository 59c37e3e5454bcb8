// How the chunk writer brings changes in that get into each other's way.
#include <algorithm>

#include "watchers/sqlite/chunk_writer.h"

namespace switchback {

using Outcome = Written::Outcome;

namespace {

// Each round leaves out what failed in the one before: enough for a circle beside rows that hang on
// a stuck one.
constexpr int kMostRounds = 32;

constexpr const char* kCircle = "switchback_circle";
constexpr const char* kDisplacing = "switchback_displacing";

std::string in_words(const char* command, const char* savepoint) {
  return std::string(command) + " " + savepoint;
}

}  // namespace

ChunkWriter::Memory ChunkWriter::remember(const std::vector<Reject>& rejects) const {
  return {waiting_.list(), displaced_, rejected_, rejects, wanted_};
}

void ChunkWriter::go_back_to(const char* savepoint, Memory memory, std::vector<Reject>& rejects) {
  database_.exec(in_words("ROLLBACK TO", savepoint));
  database_.exec(in_words("RELEASE", savepoint));
  waiting_.restore(std::move(memory.waiting));
  displaced_ = std::move(memory.displaced);
  rejected_ = std::move(memory.rejected);
  rejects = std::move(memory.rejects);
  wanted_ = std::move(memory.wanted);
  quarantine_.recount();
}

Written ChunkWriter::upsert(const Chunk& chunk, const Change& change,
                            std::vector<Reject>& rejects) {
  RowWriter& rows = writer(change.table);
  if (change.old_key == Change::kNone) return rows.upsert(chunk, change);
  const auto width = mapping_.table(change.table).key_width;
  const auto old_key = chunk.old_key(change, width);
  const RowName before = row_name(chunk, change, old_key);
  const bool elsewhere = displaced(before) != nullptr;
  if (elsewhere || rows.has(chunk, old_key)) displace(chunk, change, rejects);
  Written written = rows.upsert(chunk, change, displaced(before));
  if (elsewhere && written.outcome == Outcome::kDone) is_placed(before);
  return written;
}

const ParkedRow* ChunkWriter::displaced(const RowName& row) const {
  if (displaced_.empty()) return nullptr;
  const auto found = displaced_.find(row);
  return found == displaced_.end() ? nullptr : &found->second.front();
}

void ChunkWriter::is_placed(const RowName& row) {
  const auto found = displaced_.find(row);
  found->second.pop_front();
  if (found->second.empty()) displaced_.erase(found);
}

/// A row that is itself in quarantine need not leave later: it may stand here only because it could
/// not follow.
bool ChunkWriter::may_displace(const RowName& row) const {
  if (replaying_ || (in_circle_ && !before_displacing_)) return false;
  return !rejected_.contains(row) &&
         !quarantine_.has(mapping_.table(row.first).old_table, row.second);
}

/// Makes room for a row that takes over another's key. PostgreSQL let both have it for a while
/// (its key is deferrable), so the other one leaves it later in the batch.
void ChunkWriter::displace(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects) {
  RowWriter& rows = writer(change.table);
  const auto key = chunk.row(change).first(mapping_.table(change.table).key_width);
  if (!rows.has(chunk, key)) return;
  RowName row = row_name(chunk, change, key);
  if (!may_displace(row)) return;
  if (!before_displacing_) {
    database_.exec(in_words("SAVEPOINT", kDisplacing));
    before_displacing_ = remember(rejects);
    replay_first_ = at_;
  }
  if (auto parked = rows.displace(chunk, key)) {
    displaced_[std::move(row)].push_back(std::move(*parked));
  }
}

void ChunkWriter::keep_for_replay(const Chunk& chunk) {
  Chunk copy = chunk;
  replay_.push(copy);
}

void ChunkWriter::end_displacing() {
  database_.exec(in_words("RELEASE", kDisplacing));
  before_displacing_.reset();
  replay_.clear();
}

/// Somebody was displaced who had nowhere to go: all of it again, and nobody makes room.
void ChunkWriter::replay(std::vector<Reject>& rejects) {
  go_back_to(kDisplacing, std::move(*before_displacing_), rejects);
  before_displacing_.reset();
  replaying_ = true;
  Chunk chunk;
  for (std::size_t first = replay_first_; replay_.pop(chunk); first = 0) {
    take_from(chunk, first, rejects);
  }
  settle_waiting(rejects);
  replaying_ = false;
}

/// nullopt once the change is dealt with.
std::optional<std::string> ChunkWriter::try_waiting(const Change& change,
                                                    std::vector<Reject>& rejects) {
  Written written = write(waiting_.chunk(), change, rejects);
  switch (written.outcome) {
    case Outcome::kConflict:
      return std::move(written.reason);
    case Outcome::kDone:
      is_done(waiting_.chunk(), change, rejects);
      return std::nullopt;
    case Outcome::kRefused:
    case Outcome::kMissing:
      reject(waiting_.chunk(), change, written, rejects);
      return std::nullopt;
  }
  return std::nullopt;
}

/// Leaves in waiting_ what cannot be applied.
void ChunkWriter::settle_waiting(std::vector<Reject>& rejects) {
  do {
    waiting_.try_again([&](const Change& change) { return try_waiting(change, rejects); });
  } while (!waiting_.empty() && break_circles(rejects));
}

/// True if at least one circle closed. First each row's next change alone is looked at, since what
/// comes after it may close another circle; rows that move to each other's keys have to be taken
/// with all that waits.
bool ChunkWriter::break_circles(std::vector<Reject>& rejects) {
  for (const auto& waiting : {waiting_.first_of_rows(), waiting_.all()}) {
    std::set<std::uint32_t> hopeless;
    for (int round = 0; round < kMostRounds; ++round) {
      std::set<std::uint32_t> candidates = waiting;
      for (const std::uint32_t change : hopeless) candidates.erase(change);
      if (candidates.empty()) break;
      if (exchange(candidates, rejects, hopeless)) return true;
    }
  }
  return false;
}

/// Lets the rows of these changes let go of their old values, and tries the changes again. True if
/// all of them are in; else nothing has changed but that more are hopeless.
bool ChunkWriter::exchange(const std::set<std::uint32_t>& candidates, std::vector<Reject>& rejects,
                           std::set<std::uint32_t>& hopeless) {
  Memory before = remember(rejects);
  database_.exec(in_words("SAVEPOINT", kCircle));
  in_circle_ = true;
  bool parked = false;
  for (const auto& one : before.waiting) {
    const Change& change = waiting_.change(one);
    if (!candidates.contains(one.change) || change.op != Op::kUpsert) continue;
    const bool renamed = change.old_key != Change::kNone;
    const ParkedRow* elsewhere = renamed ? displaced(one.rows.back()) : nullptr;
    parked = writer(change.table).park(waiting_.chunk(), change, elsewhere) || parked;
  }
  if (parked) {
    waiting_.try_again([&](const Change& change) -> std::optional<std::string> {
      const auto number = &change - waiting_.chunk().changes().data();
      if (!candidates.contains(static_cast<std::uint32_t>(number))) return "its turn comes later";
      return try_waiting(change, rejects);
    });
  }
  in_circle_ = false;
  std::set<std::uint32_t> failed;
  for (const auto& one : waiting_.list()) {
    if (candidates.contains(one.change)) failed.insert(one.change);
  }
  if (parked && failed.empty() && rejects.size() <= before.rejects.size()) {
    database_.exec(in_words("RELEASE", kCircle));
    return true;
  }
  for (const auto& one : before.waiting) {
    const bool refused = std::any_of(one.rows.begin(), one.rows.end(), [&](const RowName& row) {
      return rejected_.contains(row) && !before.rejected.contains(row);
    });
    if (refused || (!parked && candidates.contains(one.change))) failed.insert(one.change);
  }
  hopeless.insert(failed.begin(), failed.end());
  go_back_to(kCircle, std::move(before), rejects);
  return false;
}

void ChunkWriter::reject_waiting(std::vector<Reject>& rejects) {
  for (const auto& one : waiting_.list()) {
    reject(waiting_.chunk(), waiting_.change(one), {Outcome::kConflict, one.reason}, rejects);
  }
  waiting_.clear();
}

}  // namespace switchback
