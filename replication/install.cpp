#include "replication/install.h"

#include <fmt/format.h>

#include <algorithm>

#include "replication/fence.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

std::vector<TableId> flowing(const Mapping& mapping, std::string_view store) {
  std::vector<TableId> ids;
  for (const auto& map : mapping.tables) {
    if (map.flows() && map.store == store) ids.push_back(map.id);
  }
  return ids;
}

std::vector<std::string> names_of(const Mapping& mapping, const std::vector<TableId>& ids) {
  std::vector<std::string> names;
  for (const TableId id : ids) names.push_back(quoted_name(mapping.table(id)));
  return names;
}

std::string joined(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, ", "));
}

void append(std::vector<std::string>& plan, std::vector<std::string> more) {
  for (auto& sql : more) plan.push_back(std::move(sql));
}

std::optional<std::string> gate_of(Connection& connection, const Mapping& mapping,
                                   std::string_view group) {
  if (!has_meta(connection)) return std::nullopt;
  const Result row =
      connection.exec("SELECT gate FROM switchback.group_state WHERE bridge = $1 AND grp = $2",
                      {mapping.bridge, std::string(group)});
  if (row.rows() == 0) return std::nullopt;
  return row.string(0, 0);
}

std::vector<std::string> flowing_names(const Mapping& mapping, const std::vector<TableId>& tables) {
  std::vector<TableId> ids;
  for (const TableId id : tables) {
    if (mapping.table(id).flows()) ids.push_back(id);
  }
  return names_of(mapping, ids);
}

constexpr const char* kPublishTruncate = "switchback_publish_truncate";

constexpr const char* kPartitionsWithoutTrigger = R"(
WITH RECURSIVE tree(oid) AS (
  SELECT to_regclass(root)::oid FROM unnest($1::text[]) AS root
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid)
SELECT format('%I.%I', n.nspname, c.relname)
  FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relkind = 'r' AND c.relispartition
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgrelid = c.oid
   AND g.tgfoid = to_regprocedure('switchback.publish_truncate()'))
 ORDER BY 1)";

// After the fence in the order of names, so that a closed side refuses before anything is deleted.
std::vector<std::string> plan_partitions(Connection& connection, const Mapping& mapping,
                                         const std::vector<TableId>& tables,
                                         std::string_view group) {
  const Result bare =
      connection.exec(kPartitionsWithoutTrigger, {text_array(flowing_names(mapping, tables))});
  std::vector<std::string> plan;
  for (int i = 0; i < bare.rows(); ++i) {
    plan.push_back(fmt::format(
        "CREATE TRIGGER {0} BEFORE TRUNCATE ON {1} FOR EACH STATEMENT WHEN "
        "(current_setting('switchback.applying', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "
        "switchback.publish_truncate({2}, {3}); ALTER TABLE ONLY {1} ENABLE ALWAYS TRIGGER {0}",
        kPublishTruncate, bare.text(i, 0), quote_literal(mapping.bridge), quote_literal(group)));
  }
  return plan;
}

std::vector<std::string> plan_group(Connection& connection, const Mapping& mapping,
                                    std::string_view store, const std::string& group) {
  std::vector<std::string> plan;
  const auto tables = fenced_tables(mapping, store, group);
  const auto gate = gate_of(connection, mapping, group);
  const bool closed = !gate || *gate == "closed";
  for (const FencedTable& fence : read_fences(connection, mapping, tables)) {
    if (!fence.installed()) append(plan, create_fence(connection, fence, mapping.bridge, group));
    if (!(closed ? fence.closed() : fence.open())) plan.push_back(set_fence(fence, closed));
  }
  append(plan, plan_partitions(connection, mapping, tables, group));
  if (closed) append(plan, plan_triggers_off(connection, mapping, tables));
  if (!gate) {
    plan.push_back(fmt::format(
        "INSERT INTO switchback.group_state (bridge, grp, gate, epoch, primary_side, phase) "
        "VALUES ({}, {}, 'closed', 1, 'old', 'snapshot')",
        quote_literal(mapping.bridge), quote_literal(group)));
  }
  return plan;
}

std::vector<std::string> plan_publication(Connection& connection, const Mapping& mapping,
                                          std::string_view store) {
  const std::string name = names_for(mapping.bridge, store).publication;
  const auto tables = names_of(mapping, flowing(mapping, store));
  if (tables.empty()) return {};
  const bool there =
      connection.exec("SELECT 1 FROM pg_publication WHERE pubname = $1", {name}).rows() > 0;
  if (!there) {
    return {
        fmt::format("CREATE PUBLICATION {} FOR TABLE {} WITH (publish = 'insert, update, "
                    "delete, truncate', publish_via_partition_root = true)",
                    quote_identifier(name), joined(tables))};
  }
  const Result missing = connection.exec(
      "SELECT root FROM unnest($1::text[]) AS root WHERE NOT EXISTS (SELECT 1 FROM "
      "pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $2 AND "
      "r.prrelid = to_regclass(root))",
      {text_array(tables), name});
  std::vector<std::string> plan;
  for (int i = 0; i < missing.rows(); ++i) {
    plan.push_back(fmt::format("ALTER PUBLICATION {} ADD TABLE {}", quote_identifier(name),
                               missing.text(i, 0)));
  }
  return plan;
}

void require_tables(Connection& connection, const Mapping& mapping, std::string_view store) {
  std::vector<TableId> ids;
  for (const auto& group : groups_of(mapping, store)) {
    for (const TableId id : fenced_tables(mapping, store, group)) ids.push_back(id);
  }
  const Result missing =
      connection.exec("SELECT root FROM unnest($1::text[]) AS root WHERE to_regclass(root) IS NULL",
                      {text_array(names_of(mapping, ids))});
  if (missing.rows() == 0) return;
  throw Error(ErrorKind::kData, Retry::kNever, "the table does not exist in PostgreSQL",
              {.object = missing.string(0, 0),
               .sqlstate = "42P01",
               .next = "create it, or name a schema file in [postgres] schema"});
}

// All tables of the tree: a statement trigger of a partitioned parent fires too.
constexpr const char* kApplicationTriggers = R"(
WITH RECURSIVE tree(oid) AS (
  SELECT to_regclass(root)::oid FROM unnest($1::text[]) AS root
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid)
SELECT format('%I.%I', n.nspname, c.relname), g.tgname, g.tgenabled
  FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_trigger g ON g.tgrelid = c.oid JOIN pg_proc f ON f.oid = g.tgfoid
 WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'
   AND f.pronamespace IS DISTINCT FROM to_regnamespace('switchback')
 ORDER BY c.relkind = 'r', 1, 2)";

std::string_view enabling(char state) {
  switch (state) {
    case 'A':
      return "ENABLE ALWAYS";
    case 'R':
      return "ENABLE REPLICA";
    default:
      return "ENABLE";
  }
}

}  // namespace

std::vector<std::string> plan_triggers_off(Connection& connection, const Mapping& mapping,
                                           const std::vector<TableId>& tables) {
  std::vector<std::string> plan;
  const Result on =
      connection.exec(kApplicationTriggers, {text_array(flowing_names(mapping, tables))});
  for (int i = 0; i < on.rows(); ++i) {
    plan.push_back(
        fmt::format("INSERT INTO switchback.app_trigger VALUES ({}, {}, {}, '{}') "
                    "ON CONFLICT (bridge, table_name, trigger_name) DO UPDATE SET enabled = "
                    "excluded.enabled",
                    quote_literal(mapping.bridge), quote_literal(on.text(i, 0)),
                    quote_literal(on.text(i, 1)), on.text(i, 2)));
    plan.push_back(fmt::format("ALTER TABLE ONLY {} DISABLE TRIGGER {}", on.text(i, 0),
                               quote_identifier(on.text(i, 1))));
  }
  return plan;
}

std::vector<std::string> plan_triggers_on(Connection& connection, const Mapping& mapping,
                                          const std::vector<TableId>& tables) {
  // A trigger or table that has gone since is nothing to switch on.
  const Result off = connection.exec(
      "WITH RECURSIVE tree(oid) AS (SELECT to_regclass(root)::oid FROM unnest($2::text[]) AS root "
      "UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid) "
      "SELECT a.table_name, a.trigger_name, a.enabled FROM switchback.app_trigger a "
      "JOIN tree t ON t.oid = to_regclass(a.table_name) "
      "JOIN pg_trigger g ON g.tgrelid = t.oid AND g.tgname = a.trigger_name "
      "WHERE a.bridge = $1 ORDER BY 1, 2",
      {mapping.bridge, text_array(flowing_names(mapping, tables))});
  std::vector<std::string> plan;
  for (int i = 0; i < off.rows(); ++i) {
    plan.push_back(fmt::format("ALTER TABLE ONLY {} {} TRIGGER {}", off.text(i, 0),
                               enabling(off.text(i, 2).front()), quote_identifier(off.text(i, 1))));
    plan.push_back(
        fmt::format("DELETE FROM switchback.app_trigger WHERE bridge = {} AND table_name = {} AND "
                    "trigger_name = {}",
                    quote_literal(mapping.bridge), quote_literal(off.text(i, 0)),
                    quote_literal(off.text(i, 1))));
  }
  return plan;
}

std::vector<std::string> plan_postgres_install(Connection& connection, const Mapping& mapping,
                                               std::string_view store) {
  require_tables(connection, mapping, store);
  std::vector<std::string> plan = plan_meta(connection);
  for (const auto& group : groups_of(mapping, store)) {
    append(plan, plan_group(connection, mapping, store, group));
  }
  append(plan, plan_publication(connection, mapping, store));
  return plan;
}

void install_postgres(Connection& connection, const Mapping& mapping, std::string_view store) {
  connection.exec("BEGIN; SET LOCAL lock_timeout = '10s'");
  try {
    // Two bridges that come at the same moment would both create the schema.
    connection.exec("SELECT pg_advisory_xact_lock(hashtextextended('switchback install', 0))");
    for (const auto& sql : plan_postgres_install(connection, mapping, store)) connection.exec(sql);
    failpoint("pg.install.commit.before");
    connection.exec("COMMIT");
    failpoint("pg.install.commit.after");
  } catch (...) {
    PQclear(PQexec(connection.raw(), "ROLLBACK"));
    throw;
  }
}

}  // namespace switchback
