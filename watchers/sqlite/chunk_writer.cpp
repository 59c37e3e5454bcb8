#include "watchers/sqlite/chunk_writer.h"

#include "state/base/error.h"

namespace switchback {

using Outcome = Written::Outcome;

ChunkWriter::ChunkWriter(SQLite::Database& database, const Mapping& mapping,
                         SqliteQuarantine& quarantine)
    : database_(database),
      mapping_(mapping),
      quarantine_(quarantine),
      writers_(mapping.tables.size()) {}

void ChunkWriter::apply(const Chunk& chunk, std::vector<Reject>& rejects) {
  waiting_.clear();
  waiting_rows_.clear();
  for (const Change& change : chunk.changes()) take(chunk, change, rejects);
  retry_waiting(chunk, rejects);
  if (!waiting_.empty() && break_circle(chunk, rejects)) return;
  for (auto& stuck : std::exchange(waiting_, {})) {
    reject(chunk, *stuck.change, std::move(stuck.reason), rejects);
  }
}

RowWriter& ChunkWriter::writer(TableId table) {
  auto& made = writers_.at(index(table));
  if (!made) made = std::make_unique<RowWriter>(database_, mapping_.table(table));
  return *made;
}

Written ChunkWriter::write(const Chunk& chunk, const Change& change) {
  switch (change.op) {
    case Op::kUpsert:
      return writer(change.table).upsert(chunk, change);
    case Op::kDelete:
      return writer(change.table).remove(chunk, change);
    case Op::kTruncate:
      writer(change.table).truncate();
      return {};
    case Op::kMisfit:
      return {Outcome::kRefused, std::string(chunk.text(change.reason))};
  }
  throw Error(ErrorKind::kInternal, Retry::kNever, "an unknown kind of change");
}

void ChunkWriter::take(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects) {
  // Nothing that waits may be applied after a TRUNCATE that followed it.
  if (change.op == Op::kTruncate && !waiting_.empty()) {
    std::erase_if(waiting_, [&](const Waiting& one) { return one.change->table == change.table; });
  }
  if (must_wait(chunk, change)) return wait(chunk, change, "an earlier change of this row waits");
  Written written = write(chunk, change);
  switch (written.outcome) {
    case Outcome::kDone:
      return settle(chunk, change, rejects);
    case Outcome::kConflict:
      return wait(chunk, change, std::move(written.reason));
    case Outcome::kRefused:
      return reject(chunk, change, std::move(written.reason), rejects);
  }
}

std::vector<std::string> ChunkWriter::keys_of(const Chunk& chunk, const Change& change) const {
  const auto width = mapping_.table(change.table).key_width;
  std::vector<std::string> keys;
  if (change.op == Op::kTruncate) return keys;
  keys.push_back(key_text(chunk, chunk.row(change).first(width)));
  if (change.old_key != Change::kNone)
    keys.push_back(key_text(chunk, chunk.old_key(change, width)));
  return keys;
}

/// Changes of one row stay in their order: behind one that waits, the next waits too.
bool ChunkWriter::must_wait(const Chunk& chunk, const Change& change) const {
  if (waiting_rows_.empty()) return false;
  for (auto& key : keys_of(chunk, change)) {
    if (waiting_rows_.contains({change.table, std::move(key)})) return true;
  }
  return false;
}

void ChunkWriter::wait(const Chunk& chunk, const Change& change, std::string reason) {
  for (auto& key : keys_of(chunk, change)) waiting_rows_.emplace(change.table, std::move(key));
  waiting_.push_back({&change, std::move(reason)});
}

/// Again and again in their order, until a round gets nobody further.
void ChunkWriter::retry_waiting(const Chunk& chunk, std::vector<Reject>& rejects) {
  for (std::size_t before = waiting_.size() + 1; !waiting_.empty() && waiting_.size() < before;) {
    before = waiting_.size();
    waiting_rows_.clear();
    for (auto& one : std::exchange(waiting_, {})) take(chunk, *one.change, rejects);
  }
}

/// True if everything that waited could be applied once all of it had let go of its old values.
bool ChunkWriter::break_circle(const Chunk& chunk, std::vector<Reject>& rejects) {
  const auto stuck = waiting_;
  auto rejects_before = rejects;
  auto rejected_before = rejected_;
  database_.exec("SAVEPOINT circle");
  bool parked = false;
  for (const auto& one : stuck)
    parked = writer(one.change->table).park(chunk, *one.change) || parked;
  if (parked) retry_waiting(chunk, rejects);
  if (parked && waiting_.empty() && rejects.size() <= rejects_before.size()) {
    database_.exec("RELEASE circle");
    return true;
  }
  database_.exec("ROLLBACK TO circle; RELEASE circle");
  rejects = std::move(rejects_before);
  rejected_ = std::move(rejected_before);
  quarantine_.recount();
  waiting_ = stuck;
  return false;
}

/// The change is in: whatever was said against its row before is over.
void ChunkWriter::settle(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects) {
  if (rejected_.empty() && quarantine_.open() == 0) return;
  const TableMap& map = mapping_.table(change.table);
  if (change.op == Op::kTruncate) {
    std::erase_if(rejects, [&](const Reject& one) { return one.table == change.table; });
    std::erase_if(rejected_, [&](const RowName& one) { return one.first == change.table; });
    quarantine_.end_all(map.old_table);
    return;
  }
  for (const auto& key : keys_of(chunk, change)) {
    if (quarantine_.open() != 0) quarantine_.end(map.old_table, key);
    if (rejected_.erase({change.table, key}) == 0) continue;
    std::erase_if(rejects,
                  [&](const Reject& one) { return one.table == change.table && one.key == key; });
  }
}

void ChunkWriter::reject(const Chunk& chunk, const Change& change, std::string reason,
                         std::vector<Reject>& rejects) {
  std::string key = keys_of(chunk, change).at(0);
  if (!rejected_.emplace(change.table, key).second) return;
  rejects.push_back({change.table, std::move(key), std::move(reason), {}});
}

}  // namespace switchback
