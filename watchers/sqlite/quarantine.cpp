#include "watchers/sqlite/quarantine.h"

#include <fmt/format.h>

#include "watchers/sqlite/objects.h"

namespace switchback {

SqliteQuarantine::SqliteQuarantine(SQLite::Database& database)
    : has_(database, fmt::format("SELECT 1 FROM {} WHERE tbl = ? AND key = ?", kQuarantineTable)),
      add_(database,
           fmt::format("INSERT INTO {} (tbl, key, reason, accepted, since) VALUES "
                       "(?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) ON CONFLICT (tbl, key) "
                       "DO UPDATE SET reason = excluded.reason, accepted = excluded.accepted",
                       kQuarantineTable)),
      end_(database, fmt::format("DELETE FROM {} WHERE tbl = ? AND key = ? RETURNING accepted",
                                 kQuarantineTable)),
      end_all_(database, fmt::format("DELETE FROM {} WHERE tbl = ?", kQuarantineTable)),
      count_(database,
             fmt::format("SELECT count(*), count(*) FILTER (WHERE accepted IS NOT 1) FROM {}",
                         kQuarantineTable)) {
  recount();
}

bool SqliteQuarantine::has(const std::string& table, const std::string& key) {
  if (empty()) return false;
  has_.reset();
  has_.bindNoCopy(1, table);
  has_.bindNoCopy(2, key);
  const bool found = has_.executeStep();
  has_.reset();
  return found;
}

void SqliteQuarantine::add(const std::string& table, const Reject& reject) {
  add_.reset();
  add_.bindNoCopy(1, table);
  add_.bindNoCopy(2, reject.key);
  add_.bindNoCopy(3, reject.reason);
  add_.bind(4, reject.accepted ? 1 : 0);
  add_.exec();
  add_.reset();
}

void SqliteQuarantine::end(const std::string& table, const std::string& key) {
  end_.reset();
  end_.bindNoCopy(1, table);
  end_.bindNoCopy(2, key);
  while (end_.executeStep()) {
    --entries_;
    if (end_.getColumn(0).getInt() == 0) --open_;
  }
  end_.reset();
}

void SqliteQuarantine::end_all(const std::string& table) {
  end_all_.reset();
  end_all_.bindNoCopy(1, table);
  end_all_.exec();
  end_all_.reset();
  recount();
}

void SqliteQuarantine::recount() {
  count_.reset();
  count_.executeStep();
  entries_ = static_cast<std::uint64_t>(count_.getColumn(0).getInt64());
  open_ = static_cast<std::uint64_t>(count_.getColumn(1).getInt64());
  count_.reset();
}

std::vector<QuarantineEntry> read_quarantine(const std::filesystem::path& path,
                                             const Mapping& mapping, const std::string& store) {
  SQLite::Database database = open_database(path, SqliteUse::kRead);
  std::vector<QuarantineEntry> entries;
  try {
    if (!database.tableExists(std::string(kQuarantineTable))) return entries;
    SQLite::Statement read(
        database, fmt::format("SELECT tbl, key, reason, since, accepted FROM {} ORDER BY tbl, key",
                              kQuarantineTable));
    while (read.executeStep()) {
      const std::string old_table = read.getColumn(0).getString();
      const auto id = mapping.find_old(store, old_table);
      entries.push_back({id, id ? qualified_name(mapping.table(*id)) : old_table,
                         read.getColumn(1).getString(), read.getColumn(2).getString(), "",
                         read.getColumn(3).getString(), read.getColumn(4).getInt() != 0});
    }
    return entries;
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path);
  }
}

}  // namespace switchback
