#include "replication/fence.h"

#include <fmt/format.h>

#include <algorithm>

#include "replication/meta.h"
#include "state/base/mutation.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

bool ours(const TableMap& map, std::string_view store) {
  return map.only == Only::kPostgres || (map.flows() && map.store == store);
}

// Leaves are ordered by name alone, so that two sessions of ours never lock in opposite orders.
constexpr const char* kReadFences = R"(
WITH RECURSIVE tree(oid) AS (
  SELECT to_regclass(root)::oid FROM unnest($1::text[]) AS root
  UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid)
SELECT n.nspname, c.relname,
       max(g.tgenabled::text) FILTER (WHERE g.tgname = 'switchback_fence_row'),
       max(g.tgenabled::text) FILTER (WHERE g.tgname = 'switchback_fence_statement')
  FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relkind = 'r'
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
   AND g.tgfoid = to_regprocedure('switchback.refuse_write()')
 GROUP BY 1, 2 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C")";

}  // namespace

std::string FencedTable::quoted() const {
  return quote_identifier(schema) + "." + quote_identifier(name);
}

std::vector<TableId> fenced_tables(const Mapping& mapping, std::string_view store,
                                   std::string_view group) {
  std::vector<TableId> ids;
  for (const auto& map : mapping.tables) {
    if (map.group == group && ours(map, store)) ids.push_back(map.id);
  }
  return ids;
}

std::vector<std::string> groups_of(const Mapping& mapping, std::string_view store) {
  std::vector<std::string> groups;
  for (const auto& map : mapping.tables) {
    if (!ours(map, store) || map.store != store) continue;
    if (std::find(groups.begin(), groups.end(), map.group) == groups.end()) {
      groups.push_back(map.group);
    }
  }
  return groups;
}

std::vector<FencedTable> read_fences(Connection& connection, const Mapping& mapping,
                                     const std::vector<TableId>& tables) {
  std::vector<std::string> roots;
  for (const TableId id : tables) roots.push_back(quoted_name(mapping.table(id)));
  const Result rows = connection.exec(kReadFences, {text_array(roots)});
  std::vector<FencedTable> fences;
  for (int i = 0; i < rows.rows(); ++i) {
    FencedTable& fence = fences.emplace_back();
    fence.schema = rows.string(i, 0);
    fence.name = rows.string(i, 1);
    if (!rows.is_null(i, 2)) fence.row = rows.text(i, 2).front();
    if (!rows.is_null(i, 3)) fence.statement = rows.text(i, 3).front();
  }
  if (mutated("fence-misses-a-leaf") && !fences.empty()) fences.pop_back();
  return fences;
}

std::vector<std::string> create_fence(Connection& connection, const FencedTable& table,
                                      std::string_view bridge, std::string_view group) {
  const std::string role = connection.exec("SELECT session_user").string(0, 0);
  // An unset parameter is NULL: IS DISTINCT FROM keeps the fence up then.
  const std::string body = fmt::format(
      "WHEN (current_setting('switchback.applying', true) IS DISTINCT FROM 'on' OR session_user <> "
      "{}) EXECUTE FUNCTION switchback.refuse_write({}, {})",
      quote_literal(role), quote_literal(bridge), quote_literal(group));
  std::vector<std::string> sql;
  if (table.statement == 0) {
    sql.push_back(
        fmt::format("CREATE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON "
                    "{} FOR EACH STATEMENT {}",
                    kFenceStatement, table.quoted(), body));
  }
  if (table.row == 0) {
    sql.push_back(
        fmt::format("CREATE TRIGGER {} AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH "
                    "ROW {}",
                    kFenceRow, table.quoted(), body));
  }
  return sql;
}

std::string set_fence(const FencedTable& table, bool closed) {
  const std::string_view how = closed ? "ENABLE ALWAYS" : "DISABLE";
  return fmt::format("ALTER TABLE ONLY {0} {1} TRIGGER {2}, {1} TRIGGER {3}", table.quoted(), how,
                     kFenceStatement, kFenceRow);
}

}  // namespace switchback
