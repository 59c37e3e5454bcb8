#include "watchers/sqlite/quarantine.h"

#include <fmt/format.h>

#include "watchers/sqlite/objects.h"

namespace switchback {

SqliteQuarantine::SqliteQuarantine(SQLite::Database& database)
    : database_(database),
      has_(database, fmt::format("SELECT 1 FROM {} WHERE tbl = ? AND key = ?", kQuarantineTable)),
      add_(database,
           fmt::format("INSERT INTO {} (tbl, key, reason, since) VALUES "
                       "(?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) ON CONFLICT (tbl, key) "
                       "DO UPDATE SET reason = excluded.reason",
                       kQuarantineTable)),
      end_(database, fmt::format("DELETE FROM {} WHERE tbl = ? AND key = ?", kQuarantineTable)),
      end_all_(database, fmt::format("DELETE FROM {} WHERE tbl = ?", kQuarantineTable)) {
  recount();
}

bool SqliteQuarantine::has(const std::string& table, const std::string& key) {
  if (open_ == 0) return false;
  has_.reset();
  has_.bindNoCopy(1, table);
  has_.bindNoCopy(2, key);
  const bool found = has_.executeStep();
  has_.reset();
  return found;
}

void SqliteQuarantine::add(const std::string& table, const std::string& key,
                           const std::string& reason) {
  add_.reset();
  add_.bindNoCopy(1, table);
  add_.bindNoCopy(2, key);
  add_.bindNoCopy(3, reason);
  add_.exec();
  add_.reset();
}

void SqliteQuarantine::end(const std::string& table, const std::string& key) {
  end_.reset();
  end_.bindNoCopy(1, table);
  end_.bindNoCopy(2, key);
  open_ -= static_cast<std::uint64_t>(end_.exec());
  end_.reset();
}

void SqliteQuarantine::end_all(const std::string& table) {
  end_all_.reset();
  end_all_.bindNoCopy(1, table);
  open_ -= static_cast<std::uint64_t>(end_all_.exec());
  end_all_.reset();
}

void SqliteQuarantine::recount() {
  SQLite::Statement count(database_, fmt::format("SELECT count(*) FROM {}", kQuarantineTable));
  count.executeStep();
  open_ = static_cast<std::uint64_t>(count.getColumn(0).getInt64());
}

std::uint64_t count_quarantined(const std::filesystem::path& path) {
  SQLite::Database database = open_database(path, SqliteUse::kRead);
  try {
    if (!database.tableExists(std::string(kQuarantineTable))) return 0;
    return static_cast<std::uint64_t>(
        database.execAndGet(fmt::format("SELECT count(*) FROM {}", kQuarantineTable)).getInt64());
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path);
  }
}

}  // namespace switchback
