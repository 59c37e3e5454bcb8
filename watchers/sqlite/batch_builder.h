// Builds a batch for the SQLite source: reads the log beyond a mark, collapses it to distinct keys
// and turns each into the upsert of its current row or a delete, in an order valid to apply change
// by change. It works in rounds, each one read transaction of limited time and size. A batch that
// needs several rounds reads the new log entries in each of them, and is complete in the round
// whose snapshot has no key left that was logged and not read since: that snapshot is the state the
// batch leads to. Used by one thread; must not outlive its database.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/chunk_spool.h"
#include "state/model/table_map.h"
#include "watchers/sqlite/dirty_keys.h"
#include "watchers/sqlite/dirty_rows.h"
#include "watchers/sqlite/log.h"
#include "watchers/sqlite/prepared.h"

namespace switchback {

/// Of one read transaction.
struct RoundLimits {
  std::chrono::microseconds time{20'000};
  std::size_t bytes = std::size_t{64} << 20;
};

class BatchBuilder {
 public:
  enum class Round {
    kNothing,   // nothing was logged since the mark
    kMore,      // a batch is under way, another round is needed
    kComplete,  // the spool's last chunk has the boundary
    kBusy,      // the database was locked; nothing was read
  };
  /// Called within the snapshot whenever the schema has changed, and at the first round. Throws.
  using CheckSchema = std::function<void()>;
  /// Told how long each read transaction lasted.
  using OnRound = std::function<void(std::chrono::nanoseconds)>;

  BatchBuilder(SQLite::Database& database, const Mapping& mapping, const std::string& store,
               const std::filesystem::path& folder, CheckSchema check_schema, OnRound on_round);

  /// Where to begin: `applied` of the port, {} for the entry made at install. Reads the database.
  void start(const Position& applied);
  /// Keys, as deletes, that were logged after `compared` (of what is kept) up to where start()
  /// began; tables of which there are too many as truncates. Reads the database. Throws as start()
  /// does.
  Chunk owed(const Position& compared);
  /// `acknowledged` must still be in the log. After an Error only start() may follow.
  Round round(ChunkSpool& spool, const LogMark& acknowledged, const RoundLimits& limits);
  /// The last entry read.
  const LogMark& mark() const { return mark_; }
  std::uint64_t history() const { return history_; }
  bool under_way() const { return under_way_; }
  /// `PRAGMA data_version` of the last round's snapshot.
  std::int64_t data_version() const { return data_version_; }

 private:
  class Snapshot;
  enum class Advance { kDone, kOutOfTime };

  Round read_round(ChunkSpool& spool, const LogMark& acknowledged);
  void check_schema();
  void end_batch();
  void note_key(TableId table, std::span<const StoredValue> key);
  Advance classify();
  void classify_one(TableId table, std::string_view encoded);
  void join_children(TableId table, std::span<const StoredValue> key);
  Advance write_deletes(ChunkSpool& spool, bool last);
  Advance write_upserts(ChunkSpool& spool, DirtyKeys::Lane lane);
  template <class Each>
  Advance each_key(DirtyKeys::Lane lane, TableId table, Each each);
  void push_if_full(ChunkSpool& spool);
  bool must_wait(TableId table) const;
  bool orphans_wait() const;
  bool out_of_time() const;

  const Mapping& mapping_;
  const std::vector<TableId> parents_first_;
  const CheckSchema check_schema_;
  const OnRound on_round_;
  LogReader log_;
  DirtyKeys keys_;
  std::vector<std::unique_ptr<DirtyRows>> rows_;  // by TableId; null for tables of other stores
  Prepared begin_, commit_, schema_version_, data_version_of_;

  std::uint64_t history_ = 0;
  LogMark mark_;
  bool under_way_ = false;
  std::vector<bool> leaves_orphans_;  // by TableId: a row refers to one that this batch deletes
  std::int64_t seen_schema_version_ = -1;
  std::int64_t data_version_ = 0;
  Chunk chunk_;

  // Of the round under way.
  std::chrono::steady_clock::time_point round_end_{};
  std::size_t bytes_left_ = 0;

  // Memory that is used again.
  std::string encoded_;
  std::vector<StoredValue> decoded_;
  std::vector<std::string> taken_;
};

}  // namespace switchback
