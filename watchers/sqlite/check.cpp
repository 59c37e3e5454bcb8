#include "watchers/sqlite/check.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "state/base/deadline.h"
#include "state/base/error.h"
#include "state/base/sql_quote.h"
#include "watchers/sqlite/busy_wait.h"
#include "watchers/sqlite/capture.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/schema.h"

namespace switchback {
namespace {

using Level = Finding::Level;

constexpr std::chrono::seconds kCheckPatience{5};

class Check {
 public:
  Check(const std::filesystem::path& path, const Mapping& mapping, const std::string& store)
      : path_(path), mapping_(mapping), store_(store) {}

  std::vector<Finding> run() {
    if (!files()) return std::move(findings_);
    file_system();
    try {
      SQLite::Database database = open_database(path_, SqliteUse::kWrite);
      const BusyWait patience(database.getHandle(), Deadline::in(kCheckPatience));
      journal(database);
      const std::vector<SqliteTable> schema = read_schema(database);
      tables(schema);
      application_triggers(database);
      virtual_tables(database);
      try_writes(database, schema);
    } catch (const SQLite::Exception& error) {
      add(Level::kFailure, fmt::format("{}: {}", path_.string(), error.what()),
          "check that the file is the application's database and that no process holds it locked");
    } catch (const Error& error) {
      add(Level::kFailure, error.what(), error.detail().next);
    }
    advice();
    return std::move(findings_);
  }

 private:
  void add(Level level, std::string what, std::string fix = {}) {
    findings_.push_back({level, std::move(what), std::move(fix)});
  }

  /// access(2) looks without opening: closing a descriptor would drop SQLite's own locks.
  bool files() {
    const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
    if (::access(path_.c_str(), F_OK) != 0) {
      add(Level::kFailure, fmt::format("there is no file {}", path_.string()),
          "correct [store] sqlite in the configuration");
      return false;
    }
    bool fine = true;
    if (::access(path_.c_str(), R_OK | W_OK) != 0) {
      const int code = errno;
      add(Level::kFailure,
          fmt::format("{} cannot be written by this user: {}", path_.string(), std::strerror(code)),
          code == EROFS ? "mount its file system for writing"
                        : fmt::format("run switchback as the application's user, or: chmod u+rw {}",
                                      path_.string()));
      fine = false;
    }
    if (::access(folder.c_str(), W_OK | X_OK) != 0) {
      add(Level::kFailure,
          fmt::format("SQLite cannot make its journal in {}: this user may not write there",
                      folder.string()),
          fmt::format("chmod u+rwx {}", folder.string()));
      fine = false;
    }
    if (fine) add(Level::kOk, fmt::format("{} and its folder can be written", path_.string()));
    return fine;
  }

  void file_system() {
    // statfs(2): f_type. Locks and shared memory do not reach the other side of these.
    constexpr std::pair<long, const char*> kNetworks[] = {
        {0x6969, "NFS"},     {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB"},        {0x517B, "SMB"},
        {0x01021997, "9P"},  {0x65735546, "FUSE"}, {0x786F4256, "VirtualBox"}, {0x73757245, "Coda"},
        {0x00C36400, "Ceph"}};
    struct statfs status {};
    if (::statfs(path_.c_str(), &status) != 0) return;
    for (const auto& [type, name] : kNetworks) {
      if (status.f_type != type) continue;
      add(Level::kWarning,
          fmt::format("{} lies on a {} file system: SQLite's locks and WAL may not reach an "
                      "application on another machine or kernel",
                      path_.string(), name),
          "run switchback in the same machine and container kernel as the application");
    }
  }

  void journal(SQLite::Database& database) {
    if (in_wal_mode(database)) {
      add(Level::kOk, "journal mode is WAL: readers and the writer do not wait for each other");
      return;
    }
    add(Level::kWarning,
        "the database has a rollback journal: each read of ours makes the application's commits "
        "wait, up to 20 ms",
        "PRAGMA journal_mode = WAL;  -- if the application can live with it");
  }

  void tables(const std::vector<SqliteTable>& schema) {
    for (const TableMap& map : mapping_.tables) {
      if (!map.flows() || map.store != store_) continue;
      const auto table = std::find_if(schema.begin(), schema.end(), [&](const SqliteTable& t) {
        return sqlite3_stricmp(t.name.c_str(), map.old_table.c_str()) == 0;
      });
      if (table == schema.end()) {
        add(Level::kFailure, fmt::format("there is no table {} in the database", map.old_table),
            "correct [table] in the configuration");
        continue;
      }
      columns(map, *table);
      key(map, *table);
    }
  }

  void columns(const TableMap& map, const SqliteTable& table) {
    for (const ColumnMap& column : map.columns) {
      if (column.old_name.empty()) continue;
      const auto found =
          std::find_if(table.columns.begin(), table.columns.end(), [&](const SqliteColumn& c) {
            return sqlite3_stricmp(c.name.c_str(), column.old_name.c_str()) == 0;
          });
      if (found == table.columns.end()) {
        add(Level::kFailure, fmt::format("{} has no column {}", table.name, column.old_name),
            "correct [table." + map.table + ".columns] in the configuration");
      } else if (found->hidden != 0 && !column.generated) {
        add(Level::kWarning,
            fmt::format("{}.{} is generated: a value that PostgreSQL gives it does not come back",
                        table.name, column.old_name));
      }
    }
  }

  void key(const TableMap& map, const SqliteTable& table) {
    if (table.primary_key.empty()) {
      add(Level::kWarning, fmt::format("{} declares no primary key", table.name));
    }
    const auto is_key = [&](const SqliteUniqueIndex& unique) {
      return unique.where.empty() &&
             std::all_of(unique.terms.begin(), unique.terms.end(), [&](const SqliteUniqueTerm& t) {
               return t.column >= 0 &&
                      std::any_of(map.columns.begin(), map.columns.begin() + map.key_width,
                                  [&](const ColumnMap& c) {
                                    const auto& own =
                                        table.columns[static_cast<std::size_t>(t.column)].name;
                                    return sqlite3_stricmp(c.old_name.c_str(), own.c_str()) == 0;
                                  });
             });
    };
    if (std::any_of(table.unique_indexes.begin(), table.unique_indexes.end(), is_key)) return;
    std::string names;
    for (std::uint16_t i = 0; i < map.key_width; ++i) {
      names += (i == 0 ? "" : ", ") + quote_identifier(map.columns[i].old_name);
    }
    add(Level::kFailure,
        fmt::format("nothing keeps ({}) unique in {}, which is its key in PostgreSQL", names,
                    table.name),
        fmt::format("CREATE UNIQUE INDEX {} ON {} ({});", quote_identifier(table.name + "_key"),
                    quote_identifier(table.name), names));
  }

  void application_triggers(SQLite::Database& database) {
    SQLite::Statement query(database,
                            "SELECT name, tbl_name FROM main.sqlite_schema WHERE type = 'trigger' "
                            "AND substr(name, 1, ?) <> ? ORDER BY name");
    query.bind(1, static_cast<int>(kTriggerPrefix.size()));
    query.bind(2, std::string(kTriggerPrefix));
    while (query.executeStep()) {
      add(Level::kWarning,
          fmt::format("the application's trigger {} on {} does not fire for what comes back from "
                      "PostgreSQL",
                      query.getColumn(0).getString(), query.getColumn(1).getString()),
          "make sure that PostgreSQL does the same, or that mapped tables hold its result");
    }
  }

  void virtual_tables(SQLite::Database& database) {
    SQLite::Statement query(database,
                            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND "
                            "type = 'virtual' ORDER BY name");
    while (query.executeStep()) {
      add(Level::kWarning, fmt::format("the virtual table {} is not mapped: it stays behind",
                                       query.getColumn(0).getString()));
    }
  }

  /// Writes a row of each table back onto itself and deletes it, with triggers off, as the bridge
  /// works: index expressions, CHECKs and generated columns run then, and with them the functions
  /// and collations that only the application may know.
  void try_writes(SQLite::Database& database, const std::vector<SqliteTable>& schema) {
    const SQLite::Transaction undone(database, SQLite::TransactionBehavior::IMMEDIATE);
    bool fine = true;
    for (const TableMap& map : mapping_.tables) {
      if (!map.flows() || map.store != store_) continue;
      for (const SqliteTable& table : schema) {
        if (sqlite3_stricmp(table.name.c_str(), map.old_table.c_str()) == 0) {
          fine = try_table(database, table) && fine;
        }
      }
    }
    if (fine) add(Level::kOk, "a write to every mapped table works, and was rolled back");
  }

  bool try_table(SQLite::Database& database, const SqliteTable& table) {
    std::string assignments;
    for (const SqliteColumn& column : table.columns) {
      if (column.hidden != 0) continue;
      const std::string name = quote_identifier(column.name);
      assignments += fmt::format("{}{} = {}", assignments.empty() ? "" : ", ", name, name);
    }
    const std::string name = quote_identifier(table.name);
    const auto ids = rowid_names(table);
    const std::string one =
        ids.empty() ? "" : fmt::format(" WHERE {0} = (SELECT max({0}) FROM {1})", ids[0], name);
    try {
      database.exec(fmt::format("UPDATE main.{} SET {}{}", name, assignments,
                                ids.empty() ? " WHERE 0" : one));
      database.exec(fmt::format("DELETE FROM main.{}{}", name, ids.empty() ? " WHERE 0" : one));
      return true;
    } catch (const SQLite::Exception& error) {
      if (error.getErrorCode() == SQLITE_BUSY) throw;
      add(Level::kFailure,
          fmt::format("a write to {} fails outside the application: {}", table.name, error.what()),
          "the table's indexes, CHECKs or generated columns call a function or collation that only "
          "the application registers: rebuild them without it, or do not map the table");
      return false;
    }
  }

  void advice() {
    add(Level::kWarning,
        "writes through incremental blob I/O (sqlite3_blob_write) fire no trigger and cannot be "
        "captured",
        "if the application uses it, replace it by UPDATE");
    add(Level::kOk,
        "during a flip writers wait in their busy timeout: the application should set one of at "
        "least a second, and retry a deferred transaction that fails with \"database is locked\"");
    add(Level::kOk,
        "if the application switches wal_autocheckpoint off, something else must checkpoint: the "
        "bridge does so only while it applies changes");
  }

  const std::filesystem::path& path_;
  const Mapping& mapping_;
  const std::string& store_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check_sqlite(const std::filesystem::path& path, const Mapping& mapping,
                                  const std::string& store) {
  return Check(path, mapping, store).run();
}

}  // namespace switchback
