// PostgreSQL as the target of changes. One transaction per batch: the echo mark, the rows, the
// quarantine and the position in switchback.checkpoint, committed together; so a restart that reads
// the position continues exactly there. Rows that the server refuses are found by halving, while
// the others stay. The checkpoint's advisory lock keeps a second sidecar away. Made by the
// endpoint, used by the forward pump's thread. After a throw only rollback() and applied() may
// follow.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "replication/connection.h"
#include "replication/held_changes.h"
#include "replication/quarantine.h"
#include "replication/row_applier.h"
#include "state/ports/change_sink.h"

namespace switchback {

class PostgresSink final : public ChangeSink, private HeldChanges::Transaction {
 public:
  PostgresSink(std::string conninfo, std::shared_ptr<const Mapping> mapping, std::string store);

  /// Connects if need be, takes the advisory lock and reads the checkpoint. Waits a bounded time
  /// for a dying session of an earlier sink, whose COMMIT may still be under way.
  Position applied() override;
  /// `rejects` is the same vector for all chunks of a batch: what is turned away may still be taken
  /// back by a later chunk.
  void apply(const Chunk& chunk, std::vector<Reject>& rejects) override;
  void commit(const Position& position, std::span<const Reject> rejects) override;
  void rollback() noexcept override;
  Position durable() override { return applied_; }
  std::uint64_t quarantined() override { return quarantine_.open(); }

 private:
  // Prepared in every session.
  static constexpr const char* kMarkName = "switchback_mark";
  static constexpr const char* kCheckpointName = "switchback_checkpoint";

  void open_session();
  void take_lock(Connection& session);
  void read_deferrable(Connection& session);
  void send_begin(Pipeline& pipeline);
  /// Makes the state so far one that undo() comes back to.
  void send_savepoint(Pipeline& pipeline);
  /// In one round trip.
  std::optional<RowError> attempt(const Chunk& chunk,
                                  std::span<const std::uint32_t> changes) override;
  void mark() override;
  void back() override;
  void keep() override;
  const UniqueColumns& unique_columns(TableId table) override;
  void undo(bool whole);
  /// Applies what can be applied of them; the failures are appended to failed_.
  void apply_parts(const Chunk& chunk, std::span<const std::uint32_t> changes);
  void forget_superseded(const Chunk& chunk, std::vector<Reject>& rejects);
  void sort_out_failures(const Chunk& chunk, std::vector<Reject>& rejects);
  /// Of each key the chunk's last change; empty if all of the chunk went in.
  using LastChanges = std::map<std::pair<TableId, std::string>, std::uint32_t>;
  void note_applied(const Chunk& chunk, const LastChanges& last);
  std::string key_of(const Chunk& chunk, const Change& change) const;

  const std::string conninfo_, store_;
  const std::shared_ptr<const Mapping> mapping_;
  std::optional<Connection> connection_;
  std::optional<RowApplier> applier_;
  bool deferrable_ =
      false;  // some constraint can be deferred: check it where rows can still be told
  bool begun_ = false;
  // kClean: nothing happened since it was set; kUsed: what came after it stays.
  enum class Savepoint { kNone, kClean, kUsed } savepoint_ = Savepoint::kNone;
  std::vector<Savepoint> before_marks_;
  std::map<TableId, UniqueColumns> unique_columns_;  // as this session found them
  Position applied_;
  Quarantine quarantine_;
  HeldChanges held_;

  // Of the chunk being applied.
  std::map<std::uint32_t, std::string> unfit_;  // change -> reason; no statement can carry it
  std::vector<std::pair<std::uint32_t, RowError>> failed_;
};

std::unique_ptr<ChangeSink> open_postgres_sink(std::string conninfo,
                                               std::shared_ptr<const Mapping> mapping,
                                               std::string store);

}  // namespace switchback
