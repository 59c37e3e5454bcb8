#include "watchers/sqlite/chunk_writer.h"

#include <algorithm>

#include "state/base/error.h"

namespace switchback {

using Outcome = Written::Outcome;

namespace {

constexpr std::size_t kMostWaitingBytes = std::size_t{8} << 20;

}  // namespace

ChunkWriter::ChunkWriter(SQLite::Database& database, const Mapping& mapping,
                         SqliteQuarantine& quarantine, std::filesystem::path spool_folder)
    : database_(database),
      mapping_(mapping),
      quarantine_(quarantine),
      writers_(mapping.tables.size()),
      replay_(std::move(spool_folder)) {}

void ChunkWriter::forget_batch() {
  waiting_.clear();
  rejected_.clear();
  wanted_.clear();
  displaced_.clear();
  before_displacing_.reset();
  replay_.clear();
}

void ChunkWriter::apply(const Chunk& chunk, std::vector<Reject>& rejects) {
  take_from(chunk, 0, rejects);
  if (before_displacing_) keep_for_replay(chunk);
  if (!chunk.boundary && waiting_.bytes() <= kMostWaitingBytes) return;
  settle_waiting(rejects);
  if (before_displacing_) displaced_.empty() ? end_displacing() : replay(rejects);
  reject_waiting(rejects);
}

void ChunkWriter::take_from(const Chunk& chunk, std::size_t first, std::vector<Reject>& rejects) {
  const auto changes = chunk.changes();
  for (at_ = first; at_ < changes.size(); ++at_) {
    take(chunk, changes[at_], rejects);
    if (before_displacing_ && displaced_.empty()) end_displacing();
  }
}

RowWriter& ChunkWriter::writer(TableId table) {
  auto& made = writers_.at(index(table));
  if (!made) made = std::make_unique<RowWriter>(database_, mapping_.table(table));
  return *made;
}

Written ChunkWriter::write(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects) {
  switch (change.op) {
    case Op::kUpsert: {
      Written written = upsert(chunk, change, rejects);
      if (written.outcome != Outcome::kDone || !follows_a_refusal(chunk, change)) return written;
      return {Outcome::kMissing, "only a part of the row came, and what came before was refused"};
    }
    case Op::kDelete: {
      const RowName row = row_name(chunk, change, chunk.row(change));
      const ParkedRow* parked = displaced(row);
      Written written = writer(change.table).remove(chunk, change, parked);
      if (parked != nullptr && written.outcome == Outcome::kDone) is_placed(row);
      return written;
    }
    case Op::kTruncate:
      writer(change.table).truncate();
      std::erase_if(displaced_, [&](const auto& one) { return one.first.first == change.table; });
      return {};
    case Op::kMisfit:
      return {Outcome::kRefused, std::string(chunk.text(change.reason))};
  }
  throw Error(ErrorKind::kInternal, Retry::kNever, "an unknown kind of change");
}

void ChunkWriter::take(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects) {
  // Nothing that waits may be applied after a TRUNCATE that followed it.
  if (change.op == Op::kTruncate) waiting_.drop(change.table);
  const auto wait = [&](std::vector<RowName> rows, std::string reason) {
    const auto width = mapping_.table(change.table).key_width;
    waiting_.add(chunk, change, width, std::move(rows), std::move(reason));
  };
  if (!waiting_.empty()) {
    auto rows = rows_of(chunk, change);
    if (waiting_.any_of(rows)) {
      return wait(std::move(rows), "an earlier change of this row waits");
    }
  }
  Written written = write(chunk, change, rejects);
  switch (written.outcome) {
    case Outcome::kDone:
      return is_done(chunk, change, rejects);
    case Outcome::kConflict:
      return wait(rows_of(chunk, change), std::move(written.reason));
    case Outcome::kRefused:
    case Outcome::kMissing:
      return reject(chunk, change, written, rejects);
  }
}

// What did not change since is not what stands here: that is from before the refusal.
bool ChunkWriter::follows_a_refusal(const Chunk& chunk, const Change& change) {
  if (rejected_.empty() && quarantine_.empty()) return false;
  if (!writer(change.table).is_partial(chunk.row(change))) return false;
  const std::string& table = mapping_.table(change.table).old_table;
  const auto rows = rows_of(chunk, change);
  return std::any_of(rows.begin(), rows.end(), [&](const RowName& row) {
    return rejected_.contains(row) || quarantine_.has(table, row.second);
  });
}

RowName ChunkWriter::row_name(const Chunk& chunk, const Change& change,
                              std::span<const Cell> key) const {
  return {change.table, key_text(chunk, key)};
}

std::vector<RowName> ChunkWriter::rows_of(const Chunk& chunk, const Change& change) const {
  const auto width = mapping_.table(change.table).key_width;
  std::vector<RowName> rows;
  if (change.op == Op::kTruncate) return rows;
  rows.push_back(row_name(chunk, change, chunk.row(change).first(width)));
  if (change.old_key != Change::kNone) {
    rows.push_back(row_name(chunk, change, chunk.old_key(change, width)));
  }
  return rows;
}

/// The change is in: whatever was said against its rows before is over.
void ChunkWriter::is_done(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects) {
  if (rejected_.empty() && quarantine_.empty()) return;
  const TableMap& map = mapping_.table(change.table);
  if (change.op == Op::kTruncate) {
    std::erase_if(rejects, [&](const Reject& one) { return one.table == change.table; });
    std::erase_if(rejected_, [&](const RowName& one) { return one.first == change.table; });
    quarantine_.end_all(map.old_table);
    return;
  }
  for (const auto& row : rows_of(chunk, change)) end_quarantine(row, rejects);
}

void ChunkWriter::end_quarantine(const RowName& row, std::vector<Reject>& rejects) {
  if (!quarantine_.empty()) quarantine_.end(mapping_.table(row.first).old_table, row.second);
  if (rejected_.erase(row) == 0) return;
  std::erase_if(rejects,
                [&](const Reject& one) { return one.table == row.first && one.key == row.second; });
}

/// Of a rename both keys are wrong here from now on, unless there is no row under the old one.
void ChunkWriter::reject(const Chunk& chunk, const Change& change, const Written& why,
                         std::vector<Reject>& rejects) {
  auto rows = rows_of(chunk, change);
  const auto width = mapping_.table(change.table).key_width;
  if (rows.size() == 2 && displaced(rows[1]) == nullptr &&
      !writer(change.table).has(chunk, chunk.old_key(change, width))) {
    end_quarantine(rows[1], rejects);
    rows.pop_back();
  }
  for (auto& row : rows) {
    if (!rejected_.insert(row).second) continue;
    rejects.push_back({change.table, std::move(row.second), why.reason,
                       why.outcome == Outcome::kConflict ? "23505" : ""});
  }
  if (why.outcome != Outcome::kMissing) return;
  for (const Cell& cell : chunk.row(change).first(width)) {
    wanted_.add(copy_cell(cell, chunk, wanted_));
  }
  wanted_.end_delete(change.table);
}

}  // namespace switchback
