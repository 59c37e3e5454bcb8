// What a flip would stumble over in PostgreSQL, each with the step that cures it. Looks only.
#include <fmt/format.h>

#include "replication/gate.h"
#include "replication/meta.h"
#include "replication/names.h"

namespace switchback {
namespace {

struct Probe {
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

constexpr Probe kProbes[] = {
    {kLongTransactions, "wait for it, or end it: SELECT pg_terminate_backend({});"},
    {kPrepared, "COMMIT PREPARED or ROLLBACK PREPARED '{}';"},
    {kIdleHolders, "end it: SELECT pg_terminate_backend({});"},
    {kWraparound, "wait until it has ended; it does not yield. Or: VACUUM (FREEZE) {};"},
    {kIndexBuilds, "wait for it, or cancel it: SELECT pg_cancel_backend({});"},
    {kVacuums, "wait for it, or cancel it: SELECT pg_cancel_backend({});"},
};

constexpr Probe kProbesOfASlot[] = {
    {kWritersElsewhere, "wait for it, or end it there: SELECT pg_terminate_backend({});"},
    {kPreparedElsewhere, "COMMIT PREPARED or ROLLBACK PREPARED '{}'; there"},
};

bool is_open(Connection& connection, const Mapping& mapping, const std::vector<TableId>& tables) {
  const Result row =
      connection.exec("SELECT gate FROM switchback.group_state WHERE bridge = $1 AND grp = $2",
                      {mapping.bridge, mapping.table(tables.front()).group});
  return row.rows() > 0 && row.text(0, 0) == "open";
}

void add_fences(std::vector<Obstacle>& found, bool open, const std::vector<FencedTable>& fences) {
  for (const FencedTable& fence : fences) {
    if (open ? fence.open() : fence.closed()) continue;
    found.push_back({fmt::format("the fence of {} is {}", fence.quoted(),
                                 fence.installed() ? "not as the gate says" : "missing"),
                     "restart `switchback run`: it repairs fences; compare the table, it may have "
                     "been written to"});
  }
}

void add_publication(std::vector<Obstacle>& found, Connection& connection, const Mapping& mapping,
                     std::string_view store, const std::vector<TableId>& tables) {
  const std::string name = names_for(mapping.bridge, store).publication;
  for (const TableId id : tables) {
    const TableMap& map = mapping.table(id);
    if (!map.flows()) continue;
    const Result there = connection.exec(
        "SELECT 1 FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid "
        "WHERE p.pubname = $1 AND r.prrelid = to_regclass($2)",
        {name, quoted_name(map)});
    if (there.rows() > 0) continue;
    found.push_back(
        {fmt::format("{} is not in the publication {}", plain_name(map), name),
         fmt::format("ALTER PUBLICATION \"{}\" ADD TABLE {};", name, quoted_name(map))});
  }
}

}  // namespace

std::vector<Obstacle> find_obstacles(Connection& connection, const Mapping& mapping,
                                     std::string_view store, const std::vector<TableId>& tables) {
  std::vector<Obstacle> found;
  if (tables.empty()) return found;
  if (!has_meta(connection)) return {{"the bridge is not installed", "switchback run"}};
  const auto fences = read_fences(connection, mapping, tables);
  std::vector<std::string> leaves;
  for (const FencedTable& fence : fences) leaves.push_back(fence.quoted());
  const std::string array = text_array(leaves);
  const auto ask = [&](const Probe& probe) {
    const Result rows = connection.exec(probe.sql, {array});
    for (int i = 0; i < rows.rows(); ++i) {
      found.push_back({rows.string(i, 0), fmt::format(fmt::runtime(probe.cure), rows.text(i, 1))});
    }
  };
  for (const Probe& probe : kProbes) ask(probe);
  const bool open = is_open(connection, mapping, tables);
  if (!open) {
    for (const Probe& probe : kProbesOfASlot) ask(probe);
  }
  add_fences(found, open, fences);
  add_publication(found, connection, mapping, store, tables);
  return found;
}

}  // namespace switchback
