// A SQLite database as the origin of changes: wakes when somebody wrote, reads what the capture
// triggers logged, and hands out batches of current rows. No read transaction stays open while a
// chunk is on its way to the other side. Log entries that the other side has durably are deleted
// now and then, when writers pause if they do, because any write of ours can make an application's
// deferred transaction fail. One thread, the pump's, except for wake().
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "state/model/table_map.h"
#include "state/ports/change_source.h"
#include "watchers/sqlite/prune.h"

namespace switchback {

struct SqliteSourceLimits {
  /// One read transaction. A reader in rollback-journal mode makes the application's writers wait,
  /// in WAL mode it only holds up checkpoints.
  std::chrono::microseconds rollback_round{15'000};
  std::chrono::microseconds wal_round{250'000};
  std::size_t round_bytes = std::size_t{64} << 20;
  /// Between the rounds of one batch in rollback-journal mode, so that writers who do not wait for
  /// locks find a gap.
  std::chrono::microseconds rollback_gap{5'000};

  PruneLimits prune;
  /// Waited for a quiet moment as long again; then the log must not grow any further.
  std::chrono::milliseconds prune_every{120'000};
  /// Sooner, when the last one did not have the time for all.
  std::chrono::milliseconds prune_again{100};
  std::chrono::milliseconds prune_quiet{250};
  /// So long after the first search for a writer's pause that was in vain, any moment will do,
  /// until nothing is left to prune: the log must not grow any further.
  std::chrono::milliseconds prune_anyway{5'000};

  /// Told how long each read transaction lasted; for tests and metrics. On the pump's thread.
  std::function<void(std::chrono::nanoseconds)> on_round;
};

/// `spool_folder` must exist: batches beyond memory go to unlinked files there. Does no I/O on the
/// database before start().
std::unique_ptr<ChangeSource> open_sqlite_source(std::filesystem::path path,
                                                 std::shared_ptr<const Mapping> mapping,
                                                 std::string store,
                                                 std::filesystem::path spool_folder,
                                                 SqliteSourceLimits limits = {});

}  // namespace switchback
