// Trimming the log of dirty keys. Any write of ours can make an application's transaction fail: in
// WAL mode one that has read before it writes does not wait for a lock but fails at once
// (https://www.sqlite.org/lang_transaction.html, SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT). So a prune
// is short, and begins, where there is such a moment, when writers pause.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "watchers/sqlite/log.h"

namespace switchback {

struct PruneLimits {
  /// Fewer entries are not worth a write to the application's database.
  std::int64_t least_entries = 20'000;
  /// So many at most in one transaction, which the application's writers wait for.
  std::int64_t most_entries = 50'000;
  /// In WAL mode about so long. Who holds a lock for longer than this is easily sent off the
  /// processor meanwhile, and then holds it for as long as others run.
  std::chrono::microseconds wal_time{1'000};
  /// In WAL mode: waits so long for a moment when writers pause. 0: begins at any moment.
  std::chrono::milliseconds pause_within{50};
};

struct Pruned {
  std::int64_t gone = 0;
  std::int64_t left = 0;  // that could go as well
};

/// Deletes entries before `keep`, which stays. One attempt, in a transaction of its own on a
/// connection of its own, without waiting for any lock. None go if there are too few; nullopt if
/// somebody else was writing, or never paused: then nothing was done, and nobody disturbed. Throws
/// Error.
std::optional<Pruned> prune_log(const std::filesystem::path& database, const LogMark& keep,
                                const PruneLimits& limits);

}  // namespace switchback
