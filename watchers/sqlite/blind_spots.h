// Commits that capture saw nothing of. A commit that logs no key and is not accounted for otherwise
// went past the triggers: incremental blob I/O, a connection with its triggers switched off, a
// program that edits the file. What was written so cannot be found by looking at the log; that it
// happened can be told, by the counter that SQLite keeps for its own caches. Used by the source, on
// its thread; must not outlive the database.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <optional>
#include <string>

#include "state/model/table_map.h"

namespace switchback {

class BlindSpots {
 public:
  BlindSpots(SQLite::Database& database, bool wal, const Mapping& mapping,
             const std::string& store);

  /// Before each snapshot.
  void expect() { before_ = wal_commits(); }
  /// After it: its `PRAGMA data_version`, and whether it held log entries not seen
  /// before. True if a commit happened since the last look that nothing accounts for. Reads the
  /// database then only; throws SQLite::Exception, and must be asked again if it was busy.
  bool look(std::int64_t data_version, bool logged);

 private:
  bool accounted_for();
  bool has_uncaptured_tables();
  std::optional<std::uint32_t> wal_commits() const;
  std::string other_changes();

  SQLite::Database& database_;
  const bool wal_;
  const Mapping& mapping_;
  const std::string& store_;
  std::optional<std::int64_t> seen_;
  std::optional<std::uint32_t> before_, seen_commits_;
  std::string others_;
};

}  // namespace switchback
