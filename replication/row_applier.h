// Turns changes of a chunk into prepared statements and sends them down a pipeline: neighbours of
// one table and one form share a statement of at most 4,096 rows, and the chunk's order is kept.
// Knows nothing of transactions or failures. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replication/array_encoder.h"
#include "replication/pipeline.h"
#include "replication/sink_statements.h"
#include "state/model/chunk.h"

namespace switchback {

class RowApplier {
 public:
  /// Both must outlive it.
  RowApplier(Connection& connection, const Mapping& mapping)
      : connection_(connection), mapping_(mapping) {}

  /// Prepares the statements that these changes need and that are not there yet. Outside of a
  /// pipeline; in or out of a transaction.
  void prepare(const Chunk& chunk, std::span<const std::uint32_t> changes);

  /// A change that no statement can carry, because a type cannot hold one of its cells.
  struct Unfit {
    std::uint32_t change;
    std::string reason;
  };
  /// Sends the changes (indexes into chunk.changes(), ascending; no misfits), leaving out those
  /// that it appends to `unfit`.
  void send(Pipeline& pipeline, const Chunk& chunk, std::span<const std::uint32_t> changes,
            std::vector<Unfit>& unfit);

 private:
  struct Prepared {
    std::string name;
    FormStatement statement;
    std::vector<const ColumnMap*> columns;  // of the arrays, in order
  };
  struct Table {
    std::optional<Target> target;
    std::vector<std::pair<Form, Prepared>> forms;  // few: a search by comparison will do
  };

  Form form_of(const Chunk& chunk, const Change& change) const;
  Prepared* find(TableId table, const Form& form);
  /// True if the key is not in the statement being built yet.
  bool add_key(const Chunk& chunk, const Change& change);
  void add_row(const Prepared& prepared, const Chunk& chunk, const Change& change);

  Connection& connection_;
  const Mapping& mapping_;
  std::map<TableId, Table> tables_;
  int prepared_count_ = 0;

  ArrayParameters arrays_;
  std::vector<Cell> cells_;
  std::string key_bytes_;
  // Hashes of the keys in the statement being built, open addressing; a slot counts if its round is
  // the current one.
  struct KeySlot {
    std::uint64_t hash = 0;
    std::uint32_t round = 0;
  };
  std::vector<KeySlot> keys_;
  std::uint32_t round_ = 0;
};

}  // namespace switchback
