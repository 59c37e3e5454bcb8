// Applies the changes of a chunk to SQLite, in their order, inside the caller's transaction. A row
// that meets another row's unique value is tried again after the rest of the chunk; rows that
// exchange unique values in a circle first let go of them together. What is still refused then is
// a reject, and everything else stays applied. Used by the sink's one thread; must not outlive its
// database. Throws SQLite::Exception for what ends a transaction.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"
#include "state/ports/change_sink.h"
#include "watchers/sqlite/quarantine.h"
#include "watchers/sqlite/row_writer.h"

namespace switchback {

class ChunkWriter {
 public:
  ChunkWriter(SQLite::Database& database, const Mapping& mapping, SqliteQuarantine& quarantine);

  void apply(const Chunk& chunk, std::vector<Reject>& rejects);
  /// A new batch begins: what was rejected before is nobody's business any more.
  void forget_rejects() { rejected_.clear(); }

 private:
  struct Waiting {
    const Change* change;
    std::string reason;
  };
  using RowName = std::pair<TableId, std::string>;

  RowWriter& writer(TableId table);
  Written write(const Chunk& chunk, const Change& change);
  void take(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  bool must_wait(const Chunk& chunk, const Change& change) const;
  void wait(const Chunk& chunk, const Change& change, std::string reason);
  void retry_waiting(const Chunk& chunk, std::vector<Reject>& rejects);
  bool break_circle(const Chunk& chunk, std::vector<Reject>& rejects);
  void settle(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  void reject(const Chunk& chunk, const Change& change, std::string reason,
              std::vector<Reject>& rejects);
  std::vector<std::string> keys_of(const Chunk& chunk, const Change& change) const;

  SQLite::Database& database_;
  const Mapping& mapping_;
  SqliteQuarantine& quarantine_;
  std::vector<std::unique_ptr<RowWriter>> writers_;  // by TableId, made when first needed
  std::vector<Waiting> waiting_;
  std::set<RowName> waiting_rows_;
  std::set<RowName> rejected_;  // of the open batch
};

}  // namespace switchback
