#include "watchers/sqlite/install.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <set>

#include "state/base/advice.h"
#include "state/base/deadline.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"
#include "watchers/sqlite/busy_wait.h"
#include "watchers/sqlite/fence.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

// How long an install waits for the application in all, and how long one COMMIT may keep new
// readers out while it waits for old ones to leave (rollback-journal mode).
constexpr std::chrono::seconds kInstallPatience{20};
constexpr std::chrono::milliseconds kInstallCommitPatience{50};

bool is_mapped(const TableMap& map, const std::string& store) {
  return map.flows() && map.store == store;
}

bool exists(SQLite::Database& database, std::string_view table) {
  SQLite::Statement query(database,
                          "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?");
  query.bind(1, std::string(table));
  return query.executeStep();
}

/// Our triggers, fences included, as they stand.
std::vector<CaptureTrigger> present_triggers(SQLite::Database& database) {
  SQLite::Statement query(database,
                          "SELECT name, tbl_name, sql FROM main.sqlite_schema "
                          "WHERE type = 'trigger' AND substr(name, 1, ?) = ? ORDER BY rowid");
  query.bind(1, static_cast<int>(kTriggerPrefix.size()));
  query.bind(2, std::string(kTriggerPrefix));
  std::vector<CaptureTrigger> out;
  while (query.executeStep()) {
    out.push_back({query.getColumn(0).getString(), query.getColumn(1).getString(),
                   query.getColumn(2).getString()});
  }
  return out;
}

struct OwnTable {
  std::string_view name;
  std::string create;
};

std::vector<OwnTable> own_tables(const Mapping& mapping) {
  const auto table = [](std::string_view name, std::string_view columns) {
    return OwnTable{name, fmt::format("CREATE TABLE {}({})", name, columns)};
  };
  return {
      {kLogTable, create_log_sql(mapping.widest_key())},
      table(kGateTable, "grp TEXT PRIMARY KEY, door TEXT, epoch INTEGER"),
      table(kPositionTable,
            "store TEXT PRIMARY KEY, history INTEGER, value INTEGER, proof INTEGER"),
      table(kQuarantineTable,
            "tbl TEXT, key TEXT, reason TEXT, since TEXT, accepted INTEGER, PRIMARY KEY(tbl, key)"),
      table(kMetaTable, "name TEXT PRIMARY KEY, value"),
  };
}

/// True if a statement on `table` compiles, the triggers that it would fire included.
bool compiles(SQLite::Database& database, const std::string& sql) {
  try {
    SQLite::Statement probe(database, "EXPLAIN " + sql);
    return true;
  } catch (const SQLite::Exception&) {
    return false;
  }
}

std::vector<std::string> writes_to(const SqliteTable& table) {
  const std::string name = quote_identifier(table.name);
  std::vector<std::string> out{"DELETE FROM " + name};
  std::string columns, values;
  for (const SqliteColumn& column : table.columns) {
    if (column.hidden != 0) continue;
    const std::string quoted = quote_identifier(column.name);
    columns += (columns.empty() ? "" : ", ") + quoted;
    values += values.empty() ? "NULL" : ", NULL";
    out.push_back(fmt::format("UPDATE {} SET {} = NULL", name, quoted));
  }
  out.push_back(fmt::format("INSERT OR REPLACE INTO {}({}) VALUES ({})", name, columns, values));
  return out;
}

/// A trigger is compiled when it first fires: a mistake in ours would fail the application's
/// writes. So every kind of write is compiled before the commit. What failed before us is not our
/// doing.
class WriteProbe {
 public:
  WriteProbe(SQLite::Database& database, const Mapping& mapping, const std::string& store)
      : database_(database) {
    for (const SqliteTable& table : read_schema(database)) {
      if (!mapping.find_old(store, table.name)) continue;
      for (std::string& sql : writes_to(table)) {
        if (with_triggers(sql)) statements_.push_back(std::move(sql));
      }
    }
  }

  void require_all() {
    for (const std::string& sql : statements_) {
      if (with_triggers(sql)) continue;
      throw Error(ErrorKind::kInternal, Retry::kNever,
                  fmt::format("capture would make the application's writes fail ({}): {}", sql,
                              database_.getErrorMsg()));
    }
  }

 private:
  bool with_triggers(const std::string& sql) {
    sqlite3_db_config(database_.getHandle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, nullptr);
    const bool fine = compiles(database_, sql);
    sqlite3_db_config(database_.getHandle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    return fine;
  }

  SQLite::Database& database_;
  std::vector<std::string> statements_;
};

bool is_busy(const SQLite::Exception& error) {
  return error.getErrorCode() == SQLITE_BUSY || error.getErrorCode() == SQLITE_LOCKED;
}

/// Runs `work` in one write transaction, again and again until its COMMIT finds a gap between the
/// application's readers. `commit` has the failpoints of the caller.
void in_transaction(const std::filesystem::path& path,
                    const std::function<bool(SQLite::Database&)>& work,
                    const std::function<void(SQLite::Transaction&)>& commit) {
  const Deadline deadline = Deadline::in(kInstallPatience);
  SQLite::Database database = open_database(path, SqliteUse::kWrite);
  for (;;) {
    try {
      std::optional<BusyWait> patience(std::in_place, database.getHandle(), deadline);
      SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
      if (!work(database)) return;
      patience.reset();
      const BusyWait brief(database.getHandle(),
                           Deadline::in(kInstallCommitPatience).sooner(deadline));
      commit(transaction);
      return;
    } catch (const SQLite::Exception& error) {
      if (!is_busy(error) || deadline.passed()) throw_sqlite_error(error, path);
    }
  }
}

void commit_install(SQLite::Transaction& transaction) {
  failpoint("sqlite.install.commit.before");
  transaction.commit();
  failpoint("sqlite.install.commit.after");
}

void commit_renew(SQLite::Transaction& transaction) {
  failpoint("sqlite.renew.commit.before");
  transaction.commit();
  failpoint("sqlite.renew.commit.after");
}

/// A table that was rebuilt lost its fence, too.
void raise_closed_fences(SQLite::Database& database, const Mapping& mapping,
                         const std::string& store) {
  std::vector<std::pair<std::string, Epoch>> closed;
  {
    SQLite::Statement query(
        database, fmt::format("SELECT grp, epoch FROM main.{} WHERE door = 'closed'", kGateTable));
    while (query.executeStep()) {
      closed.emplace_back(query.getColumn(0).getString(),
                          static_cast<Epoch>(query.getColumn(1).getInt64()));
    }
  }
  for (const auto& [group, epoch] : closed) {
    raise_fence(database, fence_triggers(mapping, store, group, epoch));
  }
}

Position beginning_of_log(SQLite::Database& database) {
  SQLite::Statement query(database,
                          fmt::format("SELECT seq, nonce, (SELECT value FROM main.{} WHERE "
                                      "name = 'history') FROM main.{} WHERE tbl = -1",
                                      kMetaTable, kLogTable));
  query.executeStep();
  return {.history = static_cast<std::uint64_t>(query.getColumn(2).getInt64()),
          .value = static_cast<std::uint64_t>(query.getColumn(0).getInt64()),
          .proof = static_cast<std::uint64_t>(query.getColumn(1).getInt64())};
}

void commit_remove(SQLite::Transaction& transaction) {
  failpoint("sqlite.remove.commit.before");
  transaction.commit();
  failpoint("sqlite.remove.commit.after");
}

}  // namespace

std::vector<CaptureTrigger> expected_capture(SQLite::Database& database, const Mapping& mapping,
                                             const std::string& store) {
  const std::vector<SqliteTable> schema = read_schema(database);
  std::vector<CaptureTrigger> out;
  for (const TableMap& map : mapping.tables) {
    if (!is_mapped(map, store)) continue;
    const auto table = std::find_if(schema.begin(), schema.end(), [&](const SqliteTable& t) {
      return sqlite3_stricmp(t.name.c_str(), map.old_table.c_str()) == 0;
    });
    if (table == schema.end()) {
      throw Error(ErrorKind::kData, Retry::kNever, "there is no such table in the database",
                  {.object = map.old_table, .next = "correct [table] in the configuration"});
    }
    for (CaptureTrigger& trigger : capture_triggers(map, *table)) out.push_back(std::move(trigger));
  }
  return out;
}

std::vector<TableId> torn_capture(SQLite::Database& database, const Mapping& mapping,
                                  const std::string& store) {
  const std::vector<SqliteTable> schema = read_schema(database);
  const std::vector<CaptureTrigger> present = present_triggers(database);
  std::vector<TableId> torn;
  for (const TableMap& map : mapping.tables) {
    if (!is_mapped(map, store)) continue;
    const auto table = std::find_if(schema.begin(), schema.end(), [&](const SqliteTable& t) {
      return sqlite3_stricmp(t.name.c_str(), map.old_table.c_str()) == 0;
    });
    bool whole = table != schema.end();
    if (whole) {
      const auto expected = capture_triggers(map, *table);
      whole = std::all_of(expected.begin(), expected.end(), [&](const CaptureTrigger& trigger) {
        return std::find(present.begin(), present.end(), trigger) != present.end();
      });
    }
    if (!whole) torn.push_back(map.id);
  }
  return torn;
}

void require_capture(SQLite::Database& database, const Mapping& mapping, const std::string& store) {
  std::string torn;
  for (const TableId table : torn_capture(database, mapping, store)) {
    torn += (torn.empty() ? "" : ", ") + mapping.table(table).old_table;
  }
  if (torn.empty()) return;
  throw Error(ErrorKind::kHistory, Retry::kNever,
              "its capture triggers are missing or altered, as after a migration that rebuilt the "
              "table: writes may have gone unseen",
              {.object = torn, .next = kDoctorFix});
}

SqliteInstall::SqliteInstall(std::filesystem::path path, std::shared_ptr<const Mapping> mapping,
                             std::string store)
    : path_(std::move(path)), mapping_(std::move(mapping)), store_(std::move(store)) {}

void SqliteInstall::require_same_bridge(SQLite::Database& database) {
  if (!exists(database, kMetaTable)) return;
  SQLite::Statement query(
      database, fmt::format("SELECT value FROM main.{} WHERE name = 'bridge'", kMetaTable));
  if (!query.executeStep()) return;
  const std::string bridge = query.getColumn(0).getString();
  if (bridge == mapping_->bridge) return;
  throw Error(ErrorKind::kRefused, Retry::kNever,
              "the database belongs to another bridge, \"" + bridge + "\"",
              {.object = path_.string(), .next = "abandon that bridge first"});
}

std::vector<std::string> SqliteInstall::missing_statements(SQLite::Database& database) {
  require_same_bridge(database);
  const bool installed = exists(database, kLogTable);
  if (installed) require_capture(database, *mapping_, store_);

  std::vector<std::string> out;
  for (const OwnTable& table : own_tables(*mapping_)) {
    if (!exists(database, table.name)) out.push_back(table.create);
  }
  if (!installed) {
    const auto meta = [&](std::string_view name, const std::string& value) {
      out.push_back(
          fmt::format("INSERT OR REPLACE INTO {} VALUES ('{}', {})", kMetaTable, name, value));
    };
    meta("format", "1");
    meta("bridge", quote_literal(mapping_->bridge));
    meta("store", quote_literal(store_));
    // A new log is a new history: 63 random bits, never 0.
    meta("history", "(random() & 9223372036854775807) | 1");
    for (const CaptureTrigger& trigger : expected_capture(database, *mapping_, store_)) {
      out.push_back(trigger.create);
    }
    out.push_back(fmt::format("INSERT INTO {}(tbl) VALUES (-1)", kLogTable));
  }
  std::set<std::string> groups;
  for (const TableMap& map : mapping_->tables) {
    if (is_mapped(map, store_)) groups.insert(map.group);
  }
  for (const std::string& group : groups) {
    if (exists(database, kGateTable)) {
      SQLite::Statement query(database,
                              fmt::format("SELECT 1 FROM main.{} WHERE grp = ?", kGateTable));
      query.bind(1, group);
      if (query.executeStep()) continue;
    }
    out.push_back(
        fmt::format("INSERT INTO {} VALUES ({}, 'open', 1)", kGateTable, quote_literal(group)));
  }
  return out;
}

std::vector<std::string> SqliteInstall::plan() {
  try {
    SQLite::Database database = open_database(path_, SqliteUse::kRead);
    const BusyWait patience(database.getHandle(), Deadline::in(kInstallPatience));
    const SQLite::Transaction snapshot(database);
    return missing_statements(database);
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path_);
  }
}

void SqliteInstall::install() {
  if (plan().empty()) return;
  const auto work = [&](SQLite::Database& database) {
    const std::vector<std::string> statements = missing_statements(database);
    if (statements.empty()) return false;
    WriteProbe probe(database, *mapping_, store_);
    for (const std::string& statement : statements) database.exec(statement);
    probe.require_all();
    require_capture(database, *mapping_, store_);
    return true;
  };
  in_transaction(path_, work, commit_install);
}

Position SqliteInstall::renew() {
  Position begun;
  const auto work = [&](SQLite::Database& database) {
    require_same_bridge(database);
    for (const CaptureTrigger& trigger : present_triggers(database)) {
      database.exec("DROP TRIGGER IF EXISTS " + quote_identifier(trigger.name));
    }
    database.exec(fmt::format("DROP TABLE IF EXISTS {}", kLogTable));
    WriteProbe probe(database, *mapping_, store_);
    for (const std::string& statement : missing_statements(database)) database.exec(statement);
    probe.require_all();
    require_capture(database, *mapping_, store_);
    raise_closed_fences(database, *mapping_, store_);
    begun = beginning_of_log(database);
    return true;
  };
  in_transaction(path_, work, commit_renew);
  return begun;
}

std::string SqliteInstall::removal_script() {
  std::string script =
      "-- Takes every trace of switchback off this database. Stop switchback first, then:\n"
      "--   sqlite3 " +
      path_.string() +
      " < remove-old.sql\n"
      "-- Running it again does no harm.\n"
      "BEGIN IMMEDIATE;\n";
  std::set<std::string> names;
  try {
    SQLite::Database database = open_database(path_, SqliteUse::kRead);
    for (const auto& trigger : present_triggers(database)) names.insert(trigger.name);
    for (const auto& trigger : expected_capture(database, *mapping_, store_)) {
      names.insert(trigger.name);
    }
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path_);
  }
  for (const TableMap& map : mapping_->tables) {
    if (!is_mapped(map, store_)) continue;
    for (const char* write : {"INSERT", "UPDATE", "DELETE"}) {
      names.insert(fmt::format("{}fence_{}_{}", kTriggerPrefix, write, map.old_table));
    }
  }
  for (const std::string& name : names) {
    script += "DROP TRIGGER IF EXISTS " + quote_identifier(name) + ";\n";
  }
  for (const OwnTable& table : own_tables(*mapping_)) {
    script += fmt::format("DROP TABLE IF EXISTS {};\n", table.name);
  }
  return script + "COMMIT;\n";
}

void SqliteInstall::remove() {
  const auto work = [&](SQLite::Database& database) {
    require_same_bridge(database);
    bool changed = false;
    for (const CaptureTrigger& trigger : present_triggers(database)) {
      database.exec("DROP TRIGGER IF EXISTS " + quote_identifier(trigger.name));
      changed = true;
    }
    for (const OwnTable& table : own_tables(*mapping_)) {
      if (!exists(database, table.name)) continue;
      database.exec(fmt::format("DROP TABLE {}", table.name));
      changed = true;
    }
    return changed;
  };
  in_transaction(path_, work, commit_remove);
}

}  // namespace switchback
