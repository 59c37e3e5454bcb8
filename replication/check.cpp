#include "replication/check.h"

#include <fmt/format.h>

#include <algorithm>

#include "replication/catalog.h"
#include "replication/connection.h"
#include "replication/load_objects.h"
#include "replication/load_repair.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "replication/slot.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

using Level = Finding::Level;

class Findings {
 public:
  void ok(std::string what) { list_.push_back({Level::kOk, std::move(what), ""}); }
  void warn(std::string what, std::string fix) {
    list_.push_back({Level::kWarning, std::move(what), std::move(fix)});
  }
  void fail(std::string what, std::string fix) {
    list_.push_back({Level::kFailure, std::move(what), std::move(fix)});
  }
  void judge(bool good, std::string fine, std::string wrong, std::string fix) {
    good ? ok(std::move(fine)) : fail(std::move(wrong), std::move(fix));
  }
  std::vector<Finding> take() { return std::move(list_); }

 private:
  std::vector<Finding> list_;
};

std::string setting(Connection& sql, const char* name) {
  return sql.exec("SELECT current_setting($1)", {name}).string(0, 0);
}

void check_server(Connection& sql, Findings& out, const std::string& slot) {
  const int major = sql.server_version() / 10000;
  out.judge(major >= 14 && major <= 18, fmt::format("PostgreSQL {}", major),
            fmt::format("PostgreSQL {} is not among the versions 14 to 18", major),
            "use a server of version 14 to 18");
  if (sql.exec("SELECT pg_is_in_recovery()").boolean(0, 0)) {
    out.fail("the server is a standby: it takes no writes", "connect to the primary");
  }
  const std::string wal_level = setting(sql, "wal_level");
  out.judge(wal_level == "logical", "wal_level = logical",
            "wal_level = " + wal_level + ": a rollback would have nothing to read",
            "ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server");
  const Result slots = sql.exec(
      "SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots");
  const SlotState ours = inspect_slot(sql, slot);
  if (ours.exists && !ours.is_here) {
    out.fail(fmt::format("the database {} of this server has a slot named {}, as this bridge would",
                         ours.database, slot),
             "give one of the two bridges another [bridge] name, before its first run");
  }
  out.judge(slots.integer(0, 0) > 0 || ours.is_here, "a replication slot is free",
            "all replication slots are taken",
            fmt::format("ALTER SYSTEM SET max_replication_slots = {}; -- then restart the server",
                        std::stoi(setting(sql, "max_replication_slots")) + 2));
  const Result senders = sql.exec(
      "SELECT current_setting('max_wal_senders')::int - count(*) FROM pg_stat_replication");
  out.judge(senders.integer(0, 0) > 0, "a WAL sender is free", "all WAL senders are taken",
            fmt::format("ALTER SYSTEM SET max_wal_senders = {}; -- then restart the server",
                        std::stoi(setting(sql, "max_wal_senders")) + 2));
  if (setting(sql, "fsync") != "on") {
    out.warn("fsync is off: a power loss may damage the server's data",
             "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();");
  }
}

// A pooler in transaction mode gives each transaction another backend, so that session settings,
// advisory locks and prepared statements are lost without a word.
void check_direct(Connection& sql, Findings& out) {
  const auto backend = [&] { return sql.exec("SELECT pg_backend_pid()").string(0, 0); };
  bool stable = true;
  const std::string first = backend();
  for (int i = 0; i < 5; ++i) stable = stable && backend() == first;
  stable = stable && sql.exec("SHOW TimeZone").text(0, 0) == "UTC";
  out.judge(stable, "the connection is a direct one",
            "the connection goes through a pooler: its session changes between transactions",
            "point [postgres] url at the server itself (often port 5432), not at the pooler");
}

void check_replication(const std::string& conninfo, Connection& sql, Findings& out) {
  const std::string role = sql.exec("SELECT current_user").string(0, 0);
  try {
    Connection replication =
        Connection::open(conninfo, "switchback check", ConnectionUse::kReplication);
    replication.exec("IDENTIFY_SYSTEM");
    out.ok("the role may replicate");
  } catch (const Error& error) {
    out.fail("a replication connection is refused: " + error.message(),
             fmt::format("ALTER ROLE {} REPLICATION; -- or the provider's own way; pg_hba.conf "
                         "must allow it",
                         quote_identifier(role)));
  }
}

void check_database(Connection& sql, Findings& out) {
  const std::string role = quote_identifier(sql.exec("SELECT current_user").string(0, 0));
  const std::string database = quote_identifier(sql.exec("SELECT current_database()").string(0, 0));
  const bool may =
      sql.exec("SELECT has_database_privilege(current_database(), 'CREATE')").boolean(0, 0);
  out.judge(may, "the role may create the schema switchback and a publication",
            "the role may not create anything in this database",
            fmt::format("GRANT CREATE ON DATABASE {} TO {};", database, role));
  const Result stats = sql.exec("SELECT pg_has_role('pg_read_all_stats', 'MEMBER')");
  if (!stats.boolean(0, 0)) {
    out.warn("the role does not see how long other sessions' transactions run",
             fmt::format("GRANT pg_read_all_stats TO {};", role));
  }
  const std::string encoding = setting(sql, "server_encoding");
  if (encoding != "UTF8") {
    out.fail("the database's encoding is " + encoding,
             "create the database with ENCODING 'UTF8' TEMPLATE template0");
  }
}

/// Its primary key is down while the table is loaded, and comes back as it was.
bool key_comes_back(const std::vector<DroppedObject>& dropped, const Mapping& mapping,
                    const TableMap& map, const std::vector<std::string>& key) {
  return std::any_of(dropped.begin(), dropped.end(), [&](const DroppedObject& object) {
    return find_quoted(mapping, object.table) == &map && object.columns == key;
  });
}

// Rows are found and inserted by their key, which the server does for no deferrable one; and it
// refuses updates of a published table that has no other key.
void check_deferrable(Connection& sql, const TableMap& map, Findings& out) {
  const Result found = sql.exec(
      "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'p' AND "
      "condeferrable",
      {quoted_name(map)});
  if (found.rows() == 0) return;
  std::string columns;
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    columns += (i == 0 ? "" : ", ") + quote_identifier(map.columns[i].name);
  }
  out.fail(plain_name(map) + ": its primary key is DEFERRABLE",
           fmt::format("ALTER TABLE {0} DROP CONSTRAINT {1}, ADD CONSTRAINT {1} PRIMARY KEY ({2});",
                       quoted_name(map), quote_identifier(found.string(0, 0)), columns));
}

void check_keys(Connection& sql, const Mapping& mapping, const std::vector<DroppedObject>& dropped,
                const TableMap& map, const CatalogTable& table, Findings& out) {
  const std::string name = plain_name(map);
  std::vector<std::string> mapped;
  for (std::uint16_t i = 0; i < map.key_width; ++i) mapped.push_back(map.columns[i].name);
  if (table.primary_key.empty() && key_comes_back(dropped, mapping, map, mapped)) {
    out.ok(name + " is being loaded: its primary key comes back at the end");
    return;
  }
  check_deferrable(sql, map, out);
  if (table.primary_key != mapped) {
    out.fail(fmt::format("{}: its primary key is ({}), mapped is ({})", name,
                         fmt::join(table.primary_key, ", "), fmt::join(mapped, ", ")),
             fmt::format("ALTER TABLE {} ADD PRIMARY KEY ({});", quoted_name(map),
                         fmt::join(mapped, ", ")));
    return;
  }
  if (table.replica_identity != 'd' && table.replica_identity != 'f') {
    out.fail(name + ": its replica identity does not cover the primary key",
             fmt::format("ALTER TABLE {} REPLICA IDENTITY DEFAULT;", quoted_name(map)));
  }
}

void check_habits(const TableMap& map, const CatalogTable& table, Findings& out) {
  const std::string name = plain_name(map);
  for (const CatalogTrigger& trigger : table.triggers) {
    if (trigger.ours || trigger.enabled == 'D') continue;
    out.warn(fmt::format("{}: its trigger {} is off while the old side is primary, on again after "
                         "a cutover",
                         name, trigger.name),
             "");
  }
  for (const CatalogForeignKey& key : table.foreign_keys) {
    if (map.orphans == Orphans::kLeave) {
      out.warn(fmt::format("{}: the foreign key {} is dropped while the bridge is here (orphans = "
                           "\"leave\")",
                           name, key.name),
               "");
    } else if (key.on_delete != 'a' && key.on_delete != 'r') {
      out.warn(fmt::format("{}: the foreign key {} acts on deletes of {}; the old side must do the "
                           "same",
                           name, key.name, key.parent_table),
               "");
    }
  }
}

void check_tables(Connection& sql, const Mapping& mapping, std::string_view store, Findings& out) {
  const auto catalog = read_catalog(sql);
  const auto dropped =
      has_meta(sql) ? dropped_objects(sql, mapping, store, true) : std::vector<DroppedObject>();
  for (const TableMap& map : mapping.tables) {
    if (map.only == Only::kOld || (map.flows() && map.store != store)) continue;
    const auto table = std::find_if(catalog.begin(), catalog.end(), [&](const CatalogTable& each) {
      return each.schema == map.schema && each.name == map.table;
    });
    if (table == catalog.end()) {
      // The mapping was built with it, so the schema file makes it.
      out.ok(plain_name(map) + " does not exist yet; `switchback run` makes it");
      continue;
    }
    const bool member =
        sql.exec("SELECT pg_has_role($1::name, 'MEMBER')", {table->owner}).boolean(0, 0);
    out.judge(member, plain_name(map) + " is ours to fence",
              fmt::format("{} belongs to {}: only its owner may put triggers and indexes on it",
                          plain_name(map), table->owner),
              fmt::format("GRANT {} TO {};", quote_identifier(table->owner),
                          quote_identifier(sql.exec("SELECT current_user").string(0, 0))));
    if (!map.flows()) continue;
    check_keys(sql, mapping, dropped, map, *table, out);
    check_habits(map, *table, out);
  }
}

}  // namespace

std::vector<Finding> check_postgres(const std::string& conninfo, const Mapping& mapping,
                                    std::string_view store) {
  Connection sql = Connection::open(conninfo, "switchback check");
  Findings findings;
  check_server(sql, findings, names_for(mapping.bridge, store).slot);
  check_direct(sql, findings);
  check_replication(conninfo, sql, findings);
  check_database(sql, findings);
  check_tables(sql, mapping, store, findings);
  return findings.take();
}

}  // namespace switchback
