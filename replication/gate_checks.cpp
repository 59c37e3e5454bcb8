// What a flip would stumble over in PostgreSQL, each with the step that cures it. Looks only.
#include <fmt/format.h>

#include <algorithm>

#include "replication/gate.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "state/base/advice.h"

namespace switchback {
namespace {

struct Probe {
  const char* name;
  const char* all_well;
  const char* limit;
  const char* sql;   // rows of text: one obstacle each; $1 an array of the leaf tables
  const char* cure;  // {} is the row's second column
};

constexpr const char* kLongTransactions = R"(
SELECT format('a transaction of pid %s (%s, user %s) has been open for %s s', pid,
              coalesce(nullif(application_name, ''), 'unnamed'), usename,
              extract(epoch FROM clock_timestamp() - xact_start)::int), pid::text
  FROM pg_stat_activity
 WHERE xact_start < clock_timestamp() - interval '5 s' AND pid <> pg_backend_pid()
   AND backend_type = 'client backend' AND datname = current_database()
   AND application_name NOT LIKE 'switchback %' AND $1::text[] IS NOT NULL)";

constexpr const char* kPrepared = R"(
SELECT format('the prepared transaction %L of %s keeps its locks', gid, owner), gid
  FROM pg_prepared_xacts WHERE database = current_database() AND $1::text[] IS NOT NULL)";

// A new slot begins only when every transaction has ended that writes anywhere in the cluster.
constexpr const char* kWritersElsewhere = R"(
SELECT format('a transaction of pid %s (%s) has been open for %s s in the database %s', pid,
              coalesce(nullif(application_name, ''), 'unnamed'),
              extract(epoch FROM clock_timestamp() - xact_start)::int, datname), pid::text
  FROM pg_stat_activity
 WHERE backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '5 s'
   AND datname <> current_database() AND $1::text[] IS NOT NULL)";

constexpr const char* kPreparedElsewhere = R"(
SELECT format('the prepared transaction %L of the database %s is open', gid, database), gid
  FROM pg_prepared_xacts WHERE database <> current_database() AND $1::text[] IS NOT NULL)";

constexpr const char* kIdleHolders = R"(
SELECT format('pid %s (%s) is idle in a transaction and holds %s on %s', a.pid,
              coalesce(nullif(a.application_name, ''), 'unnamed'), min(l.mode),
              min(l.relation::regclass::text)), a.pid::text
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.relation = ANY ($1::regclass[]::oid[]) AND l.granted AND l.mode <> 'AccessShareLock'
   AND a.state LIKE 'idle in transaction%' AND a.application_name NOT LIKE 'switchback %'
   AND a.state_change < clock_timestamp() - interval '1 s'
 GROUP BY a.pid, a.application_name)";

constexpr const char* kWraparound = R"(
SELECT format('an anti-wraparound autovacuum works on %s', l.relation::regclass),
       l.relation::regclass::text
  FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.mode = 'ShareUpdateExclusiveLock'
 WHERE a.backend_type = 'autovacuum worker' AND a.query LIKE '%(to prevent wraparound)%'
   AND l.relation = ANY ($1::regclass[]::oid[]))";

constexpr const char* kIndexBuilds = R"(
SELECT format('pid %s runs %s on %s', pid, command, relid::regclass), pid::text
  FROM pg_stat_progress_create_index WHERE relid = ANY ($1::regclass[]::oid[]))";

constexpr const char* kVacuums = R"(
SELECT format('pid %s runs VACUUM on %s', p.pid, p.relid::regclass), p.pid::text
  FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a ON a.pid = p.pid
 WHERE a.backend_type = 'client backend' AND p.relid = ANY ($1::regclass[]::oid[]))";

// What the sequences must take when this side is opened.
constexpr const char* kSequences = R"(
SELECT format('the sequence %s cannot be set: the role %s may not UPDATE it', s.name, current_user),
       s.name || ' TO ' || quote_ident(current_user)
  FROM (SELECT pg_get_serial_sequence(r.t, a.attname) AS name
          FROM unnest($1::text[]) AS r(t)
          JOIN pg_attribute a
            ON a.attrelid = r.t::regclass AND a.attnum > 0 AND NOT a.attisdropped) s
 WHERE s.name IS NOT NULL AND NOT has_sequence_privilege(s.name, 'UPDATE'))";

// One that is ours already counts as free.
constexpr const char* kFreeSlots = R"(
SELECT format('all %s replication slots of the cluster are taken', most), most
  FROM (SELECT setting AS most,
               (SELECT count(*) FROM pg_replication_slots
                 WHERE slot_name <> $2 AND $1::text[] IS NOT NULL) AS used
          FROM pg_settings WHERE name = 'max_replication_slots') slots
 WHERE used >= most::bigint)";

constexpr Probe kProbes[] = {
    {"long transactions", "none", "none open for 5 s", kLongTransactions,
     "wait for it, or end it: SELECT pg_terminate_backend({});"},
    {"prepared transactions", "none", "none", kPrepared,
     "COMMIT PREPARED or ROLLBACK PREPARED '{}';"},
    {"locks held idle", "none", "none for 1 s", kIdleHolders,
     "end it: SELECT pg_terminate_backend({});"},
    {"anti-wraparound vacuum", "none", "none", kWraparound,
     "wait until it has ended; it does not yield. Or: VACUUM (FREEZE) {};"},
    {"index builds", "none", "none", kIndexBuilds,
     "wait for it, or cancel it: SELECT pg_cancel_backend({});"},
    {"VACUUM by hand", "none", "none", kVacuums,
     "wait for it, or cancel it: SELECT pg_cancel_backend({});"},
};

constexpr Probe kProbesToOpen[] = {
    {"transactions elsewhere", "none", "none open for 5 s", kWritersElsewhere,
     "wait for it, or end it there: SELECT pg_terminate_backend({});"},
    {"prepared elsewhere", "none", "none", kPreparedElsewhere,
     "COMMIT PREPARED or ROLLBACK PREPARED '{}'; there"},
    {"sequences", "may be set", "may be set", kSequences, "GRANT UPDATE ON SEQUENCE {};"},
};

constexpr Probe kFreeSlot = {
    "free slot", "yes", "yes", kFreeSlots,
    "drop a slot that nobody needs, or raise max_replication_slots above {} and restart"};

bool is_open(Connection& connection, const Mapping& mapping, const std::vector<TableId>& tables) {
  const Result row =
      connection.exec("SELECT gate FROM switchback.group_state WHERE bridge = $1 AND grp = $2",
                      {mapping.bridge, mapping.table(tables.front()).group});
  return row.rows() > 0 && row.text(0, 0) == "open";
}

void add_fences(std::vector<GateCheck>& found, bool open, const std::vector<FencedTable>& fences) {
  const std::size_t before = found.size();
  for (const FencedTable& fence : fences) {
    if (open ? fence.open() : fence.closed()) continue;
    found.push_back({"fences",
                     fmt::format("the fence of {} is {}", fence.quoted(),
                                 fence.installed() ? "not as the gate says" : "missing"),
                     "as the gate says", false,
                     "restart `switchback run`: it repairs fences; compare the table, it may have "
                     "been written to"});
  }
  if (found.size() != before) return;
  found.push_back({"fences", fmt::format("{} of {} tables", open ? "off" : "on", fences.size()),
                   "as the gate says"});
}

void add_publication(std::vector<GateCheck>& found, Connection& connection, const Mapping& mapping,
                     std::string_view store, const std::vector<TableId>& tables) {
  const std::string name = names_for(mapping.bridge, store).publication;
  const std::size_t before = found.size();
  std::size_t published = 0;
  for (const TableId id : tables) {
    const TableMap& map = mapping.table(id);
    if (!map.flows()) continue;
    const Result there = connection.exec(
        "SELECT 1 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid "
        "WHERE p.pubname = $1 AND r.prrelid = to_regclass($2)",
        {name, quoted_name(map)});
    ++published;
    if (there.rows() > 0) continue;
    found.push_back(
        {"publication", fmt::format("{} is not in the publication {}", plain_name(map), name),
         "all tables", false,
         fmt::format("ALTER PUBLICATION \"{}\" ADD TABLE {};", name, quoted_name(map))});
  }
  if (found.size() != before) return;
  found.push_back({"publication", fmt::format("{} tables", published), "all tables"});
}

// Of the slot that carries changes back while this side is primary.
void add_slot(std::vector<GateCheck>& found, Connection& connection, const std::string& slot) {
  const char* const limit = "there, and within the server's WAL budget";
  const Result row = connection.exec(
      "SELECT wal_status, pg_size_pretty(pg_current_wal_lsn() - restart_lsn),"
      " (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size')"
      " FROM pg_replication_slots WHERE slot_name = $1",
      {slot});
  if (row.rows() == 0) {
    found.push_back({"slot", fmt::format("the slot {} is gone", slot), limit, false, kDoctorFix});
    return;
  }
  const std::string status = row.string(0, 0);
  const std::string kept = row.is_null(0, 1) ? "no" : row.string(0, 1);
  if (status == "reserved" || status == "extended") {
    const std::string most = row.string(0, 2);
    found.push_back({"slot", fmt::format("{} of WAL kept ({})", kept, status),
                     most == "-1" ? "any: max_slot_wal_keep_size = -1" : "below " + most + " MB"});
    return;
  }
  found.push_back(
      {"slot", fmt::format("the slot {} is {}: {} of WAL kept", slot, status, kept), limit, false,
       status == "lost" ? std::string(kDoctorFix)
                        : "raise max_slot_wal_keep_size and wait until the lag is gone"});
}

void add_wal_level(std::vector<GateCheck>& found, Connection& connection) {
  const std::string level = connection.exec("SHOW wal_level").string(0, 0);
  const bool ok = level == "logical";
  found.push_back({"wal_level", ok ? level : "wal_level is " + level, "logical", ok,
                   ok ? "" : "ALTER SYSTEM SET wal_level = 'logical'; restart the server"});
}

}  // namespace

std::vector<GateCheck> look_at_gates(Connection& connection, const Mapping& mapping,
                                     std::string_view store, const std::vector<TableId>& tables) {
  std::vector<GateCheck> found;
  if (tables.empty()) return found;
  if (!has_meta(connection)) {
    return {{"installed", "the bridge is not installed", "yes", false, "switchback run"}};
  }
  const auto fences = read_fences(connection, mapping, tables);
  std::vector<std::string> leaves;
  for (const FencedTable& fence : fences) leaves.push_back(fence.quoted());
  const std::string array = text_array(leaves);
  const std::string slot = names_for(mapping.bridge, store).slot;
  const auto ask = [&](const Probe& probe) {
    std::vector<std::optional<std::string>> values{array};
    if (std::string_view(probe.sql).find("$2") != std::string_view::npos) values.push_back(slot);
    const Result rows = connection.exec(probe.sql, values);
    for (int i = 0; i < rows.rows(); ++i) {
      found.push_back({probe.name, rows.string(i, 0), probe.limit, false,
                       fmt::format(fmt::runtime(probe.cure), rows.text(i, 1))});
    }
    if (rows.rows() == 0) found.push_back({probe.name, probe.all_well, probe.limit});
  };
  for (const Probe& probe : kProbes) ask(probe);
  const bool open = is_open(connection, mapping, tables);
  if (open) {
    add_slot(found, connection, slot);
  } else {
    for (const Probe& probe : kProbesToOpen) ask(probe);
    ask(kFreeSlot);
    add_wal_level(found, connection);
  }
  add_fences(found, open, fences);
  add_publication(found, connection, mapping, store, tables);
  return found;
}

}  // namespace switchback
