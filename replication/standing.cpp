#include "replication/standing.h"

#include <fmt/format.h>

#include "replication/fence.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

// Partitions and children hold the rows, so they count as their parents do. A rewrite of a table
// (ALTER … TYPE, TRUNCATE, VACUUM FULL) gives it another file node; of ordinary writes none does.
// https://www.postgresql.org/docs/15/catalog-pg-trigger.html, catalog-pg-class.html
constexpr const char* kStanding =
    "WITH RECURSIVE mapped(oid) AS ("
    " SELECT pg_catalog.to_regclass(n)::oid FROM unnest(ARRAY[{0}]::text[]) AS n"
    " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN mapped ON i.inhparent = oid) "
    "SELECT 'the fence of ' || tgrelid::regclass, string_agg(concat_ws(' ', tgname, oid, "
    "tgenabled, "
    "xmin), ',' ORDER BY tgname) FROM pg_catalog.pg_trigger WHERE tgname IN ({1}) AND tgrelid IN "
    "(SELECT oid FROM mapped) GROUP BY tgrelid "
    "UNION ALL SELECT 'the stored rows of ' || oid::regclass, relfilenode::text "
    "FROM pg_catalog.pg_class WHERE oid IN (SELECT oid FROM mapped) "
    "UNION ALL SELECT 'the columns of ' || attrelid::regclass, string_agg(concat_ws(' ', attnum, "
    "attname, atttypid, atttypmod, attisdropped), ',' ORDER BY attnum) "
    "FROM pg_catalog.pg_attribute WHERE attnum > 0 AND attrelid IN (SELECT oid FROM mapped) "
    "GROUP BY attrelid "
    "UNION ALL SELECT 'the publication of ' || r.prrelid::regclass, concat_ws(' ', r.oid, r.xmin, "
    "p.oid, p.xmin) FROM pg_catalog.pg_publication AS p JOIN pg_catalog.pg_publication_rel AS r ON "
    "r.prpubid = p.oid WHERE p.pubname = {2}";

constexpr const char* kColumns =
    "WITH RECURSIVE mapped(name, oid) AS ("
    " SELECT n, pg_catalog.to_regclass(q)::oid FROM unnest($1::text[], $2::text[]) AS m(n, q)"
    " UNION SELECT m.name, i.inhrelid FROM pg_catalog.pg_inherits AS i"
    "  JOIN mapped AS m ON i.inhparent = m.oid) "
    "SELECT m.name, format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))"
    " FROM unnest($1::text[], $2::text[]) AS m(name, q)"
    " JOIN pg_catalog.pg_attribute AS a ON a.attrelid = pg_catalog.to_regclass(m.q)"
    " AND a.attnum > 0 AND NOT a.attisdropped "
    "UNION ALL SELECT m.name, format('PARTITION %I.%I', n.nspname, c.relname)"
    " FROM mapped AS m JOIN pg_catalog.pg_class AS c ON c.oid = m.oid AND c.relispartition"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "ORDER BY 1, 2";

}  // namespace

std::map<std::string, std::vector<std::string>> postgres_columns(Connection& sql,
                                                                 const Mapping& mapping,
                                                                 const std::string& store) {
  std::vector<std::string> names, quoted;
  for (const TableMap& map : mapping.tables) {
    if (!map.flows() || map.store != store) continue;
    names.push_back(plain_name(map));
    quoted.push_back(quoted_name(map));
  }
  const Result found = sql.exec(kColumns, {text_array(names), text_array(quoted)});
  std::map<std::string, std::vector<std::string>> columns;
  for (int row = 0; row < found.rows(); ++row) {
    columns[found.string(row, 0)].push_back(found.string(row, 1));
  }
  return columns;
}

std::map<std::string, std::string> postgres_standing(Connection& sql, const Mapping& mapping,
                                                     const std::string& store) {
  std::string tables;
  for (const TableMap& map : mapping.tables) {
    if (!map.flows() || map.store != store) continue;
    tables += (tables.empty() ? "" : ", ") + quote_literal(quoted_name(map));
  }
  const std::string fences =
      fmt::format("{}, {}", quote_literal(kFenceRow), quote_literal(kFenceStatement));
  const Result found = sql.exec(fmt::format(
      kStanding, tables, fences, quote_literal(names_for(mapping.bridge, store).publication)));
  std::map<std::string, std::string> standing;
  for (int row = 0; row < found.rows(); ++row) {
    standing.emplace(found.string(row, 0), found.string(row, 1));
  }
  return standing;
}

}  // namespace switchback
