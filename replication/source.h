// PostgreSQL as the origin of changes: a logical replication slot, read by a thread of its own,
// decoded and assembled into chunks on the pump's thread. It refuses to start where the slot could
// have passed over a change that the other side does not have. Made by the PostgreSQL endpoint,
// used by the pump of the reverse direction; only wake() may be called by another thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "state/model/table_map.h"
#include "state/ports/change_source.h"

namespace switchback {

struct PostgresSourceOptions {
  std::string conninfo;
  std::string store;  // its tables, its publication and slot
  /// While nothing of ours changes, the log still grows. So that the slot lets go of it, a position
  /// without changes is handed on this often, or after this much log.
  std::chrono::milliseconds position_every{10'000};
  std::uint64_t position_after_bytes = std::uint64_t{16} << 20;
};

/// Connects to nothing before start(). Besides what the port says, start() throws Error(kHistory)
/// if the slot is gone, lost its log, or has confirmed more than `applied`; Error(kBusy) while
/// another session still streams from it.
std::unique_ptr<ChangeSource> open_postgres_source(PostgresSourceOptions options,
                                                   std::shared_ptr<const Mapping> mapping);

}  // namespace switchback
