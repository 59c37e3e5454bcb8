#include "watchers/sqlite/blind_spots.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/row_query.h"

namespace switchback {

BlindSpots::BlindSpots(SQLite::Database& database, bool wal, const Mapping& mapping,
                       const std::string& store)
    : database_(database), wal_(wal), mapping_(mapping), store_(store) {}

bool BlindSpots::look(std::int64_t data_version, bool logged) {
  if (seen_ == data_version) return false;
  bool unexplained = false;
  if (!seen_) {
    others_ = other_changes();
  } else if (!logged && (!wal_ || before_ != seen_commits_)) {
    unexplained = !accounted_for();
  }
  seen_ = data_version;
  seen_commits_ = wal_commits();
  return unexplained;
}

bool BlindSpots::accounted_for() {
  const SQLite::Transaction snapshot(database_);
  const std::string before = std::exchange(others_, other_changes());
  return others_ != before || has_uncaptured_tables();
}

/// A commit to a table that nobody captures is no riddle.
bool BlindSpots::has_uncaptured_tables() {
  SQLite::Statement query(database_,
                          "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND "
                          "substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, ?) <> ?");
  query.bind(1, static_cast<int>(kTriggerPrefix.size()));
  query.bind(2, std::string(kTriggerPrefix));
  while (query.executeStep()) {
    const std::string name = query.getColumn(0).getString();
    const auto captures = [&](const TableMap& map) {
      return map.flows() && map.store == store_ && same_sqlite_name(map.old_table, name);
    };
    if (std::none_of(mapping_.tables.begin(), mapping_.tables.end(), captures)) return true;
  }
  return false;
}

/// Counts the commits in WAL mode, where `data_version` moves without one as well: when the -wal
/// begins anew. The number is in the shared memory that SQLite has mapped already and may be ahead
/// of a snapshot: so it is read before one, and compared with what it was after the one before. A
/// commit in between can be missed, but none is made up.
/// https://www.sqlite.org/walformat.html#the_wal_index_header: iChange
std::optional<std::uint32_t> BlindSpots::wal_commits() const {
  constexpr int kRegion = 32 * 1024;
  constexpr std::size_t kChangeAt = 8;
  if (!wal_) return std::nullopt;
  sqlite3_file* file = nullptr;
  sqlite3_file_control(database_.getHandle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (file == nullptr || file->pMethods == nullptr || file->pMethods->iVersion < 2) {
    return std::nullopt;
  }
  volatile void* memory = nullptr;
  if (file->pMethods->xShmMap(file, 0, kRegion, 0, &memory) != SQLITE_OK || memory == nullptr) {
    return std::nullopt;
  }
  return static_cast<const volatile std::uint32_t*>(memory)[kChangeAt / sizeof(std::uint32_t)];
}

/// What else a commit may change, as text: the header, ANALYZE's tables, the bridge's own.
std::string BlindSpots::other_changes() {
  std::string out;
  for (const char* pragma : {"schema_version", "user_version", "application_id"}) {
    out += database_.execAndGet(fmt::format("PRAGMA main.{}", pragma)).getString() + " ";
  }
  if (database_.tableExists("sqlite_stat1")) {
    out += database_
               .execAndGet(
                   "SELECT count(*) || group_concat(tbl || ifnull(idx, '') || stat) FROM "
                   "main.sqlite_stat1")
               .getString();
  }
  const std::pair<std::string_view, const char*> ours[] = {
      {kLogTable, "min(seq)"},
      {kGateTable, "group_concat(grp || door || epoch)"},
      {kPositionTable, "group_concat(store || history || '.' || value)"},
      {kQuarantineTable, "count(*) || max(since)"},
  };
  for (const auto& [table, state] : ours) {
    if (!database_.tableExists(std::string(table))) continue;
    out +=
        " " + database_.execAndGet(fmt::format("SELECT ifnull({}, '') FROM main.{}", state, table))
                  .getString();
  }
  return out;
}

}  // namespace switchback
