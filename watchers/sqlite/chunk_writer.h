// Applies the changes of a batch to SQLite, in their order, inside the caller's transaction. A row
// that meets another row's unique value waits until the batch has shown what becomes of that row;
// rows that exchange unique values in a circle let go of them together. A row that takes over the
// key of another, which leaves it only later in the batch, moves that one out of the way. What is
// still refused at the end is a reject, and everything else stays applied. Used by the sink's one
// thread; must not outlive its database. Throws SQLite::Exception for what ends a transaction.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/chunk_spool.h"
#include "state/model/table_map.h"
#include "state/ports/change_sink.h"
#include "watchers/sqlite/quarantine.h"
#include "watchers/sqlite/row_writer.h"
#include "watchers/sqlite/waiting_changes.h"

namespace switchback {

class ChunkWriter {
 public:
  /// `spool_folder` is for what may have to be applied a second time.
  ChunkWriter(SQLite::Database& database, const Mapping& mapping, SqliteQuarantine& quarantine,
              std::filesystem::path spool_folder);

  /// `rejects` is the same vector for all chunks of a batch; whatever waits is settled with the
  /// chunk that has the boundary.
  void apply(const Chunk& chunk, std::vector<Reject>& rejects);
  /// Keys (as deletes) of rows of which only a part has come, and that are not there or lack an
  /// earlier change that was refused.
  Chunk take_wanted() { return std::exchange(wanted_, {}); }
  /// A new batch begins: what became of the last one's changes is nobody's business any more.
  void forget_batch();

 private:
  /// What ROLLBACK TO cannot bring back.
  struct Memory {
    std::vector<WaitingChanges::One> waiting;
    std::map<RowName, std::deque<ParkedRow>> displaced;
    std::set<RowName> rejected;
    std::vector<Reject> rejects;
    Chunk wanted;
  };
  Memory remember(const std::vector<Reject>& rejects) const;
  void go_back_to(const char* savepoint, Memory memory, std::vector<Reject>& rejects);

  RowWriter& writer(TableId table);
  RowName row_name(const Chunk& chunk, const Change& change, std::span<const Cell> key) const;
  std::vector<RowName> rows_of(const Chunk& chunk, const Change& change) const;

  void take_from(const Chunk& chunk, std::size_t first, std::vector<Reject>& rejects);
  void take(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  Written write(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  bool follows_a_refusal(const Chunk& chunk, const Change& change);
  Written upsert(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  std::optional<std::string> try_waiting(const Change& change, std::vector<Reject>& rejects);

  const ParkedRow* displaced(const RowName& row) const;
  void is_placed(const RowName& row);
  bool may_displace(const RowName& row) const;
  void displace(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  void keep_for_replay(const Chunk& chunk);
  void end_displacing();
  void replay(std::vector<Reject>& rejects);

  void settle_waiting(std::vector<Reject>& rejects);
  bool break_circles(std::vector<Reject>& rejects);
  bool exchange(const std::set<std::uint32_t>& candidates, std::vector<Reject>& rejects,
                std::set<std::uint32_t>& hopeless);
  void reject_waiting(std::vector<Reject>& rejects);
  void is_done(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  void end_quarantine(const RowName& row, std::vector<Reject>& rejects);
  void reject(const Chunk& chunk, const Change& change, const Written& why,
              std::vector<Reject>& rejects);

  SQLite::Database& database_;
  const Mapping& mapping_;
  SqliteQuarantine& quarantine_;
  std::vector<std::unique_ptr<RowWriter>> writers_;  // by TableId, made when first needed

  // Of the open batch.
  WaitingChanges waiting_;
  std::set<RowName> rejected_;
  Chunk wanted_;
  // By the key that they had, the oldest first.
  std::map<RowName, std::deque<ParkedRow>> displaced_;

  // Set while rows are displaced: a savepoint stands before the first of them.
  std::optional<Memory> before_displacing_;
  ChunkSpool replay_;             // what came since, and
  std::size_t replay_first_ = 0;  // where in its first chunk
  std::size_t at_ = 0;            // the change being taken, in its chunk
  bool replaying_ = false;        // nobody is displaced
  bool in_circle_ = false;        // nobody is displaced for the first time
};

}  // namespace switchback
