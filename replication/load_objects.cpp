#include "replication/load_objects.h"

#include <fmt/format.h>

#include <algorithm>

#include "replication/fence.h"
#include "replication/load_repair.h"
#include "replication/meta.h"
#include "replication/quarantine.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

// Each repair moves rows away, so the next try meets fewer; more than a few would be a repair that
// does not see what the server sees.
constexpr int kMostRepairs = 5;

// One row per object: table, sort, name, definition, expression, columns, weight, how to drop it.
// Runs under search_path = pg_catalog, so that every name in a definition is qualified. Left alone
// are objects whose storage or role could not be given back by their definition alone. A foreign
// key of a partitioned table is its partitions' too.
constexpr const char* kConstraints = R"(
SELECT c.conrelid::regclass::text, c.contype::text, c.conname::text,
       format('ALTER TABLE %s%s ADD CONSTRAINT %I %s', t.only_it, c.conrelid::regclass, c.conname,
              pg_get_constraintdef(c.oid))
       || CASE WHEN c.contype = 'p' AND r.relreplident = 'd'
               THEN format('; ALTER TABLE ONLY %s REPLICA IDENTITY DEFAULT', c.conrelid::regclass)
               ELSE '' END
       || coalesce(format('; COMMENT ON CONSTRAINT %I ON %s IS ', c.conname, c.conrelid::regclass)
                   || quote_literal(obj_description(c.oid, 'pg_constraint')), ''),
       pg_get_expr(c.conbin, c.conrelid),
       (SELECT array_agg(a.attname::text ORDER BY k.n)
          FROM unnest(c.conkey) WITH ORDINALITY k(num, n)
          JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num)::text,
       CASE c.contype WHEN 'p' THEN 0 WHEN 'u' THEN 2 WHEN 'x' THEN 3 WHEN 'c' THEN 20 ELSE 30 END,
       CASE WHEN c.contype = 'p' AND r.relreplident = 'd'
            THEN format('ALTER TABLE ONLY %s REPLICA IDENTITY FULL;', c.conrelid::regclass)
            ELSE '' END
       || format('ALTER TABLE %s%s DROP CONSTRAINT %I', t.only_it, c.conrelid::regclass, c.conname)
  FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
  CROSS JOIN LATERAL (SELECT CASE r.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END AS only_it) t
  LEFT JOIN pg_index i ON i.indexrelid = c.conindid AND c.contype <> 'f'
  LEFT JOIN pg_class x ON x.oid = i.indexrelid
 WHERE c.contype IN ('p', 'u', 'x', 'c', 'f') AND c.conparentid = 0
   AND NOT coalesce(i.indisreplident OR i.indisclustered OR x.reltablespace <> 0, false))";

constexpr const char* kIndexes = R"(
SELECT i.indrelid::regclass::text, 'i', x.relname::text,
       pg_get_indexdef(i.indexrelid)
       || coalesce(format('; COMMENT ON INDEX %s IS ', i.indexrelid::regclass)
                   || quote_literal(obj_description(i.indexrelid, 'pg_class')), ''),
       NULL,
       CASE WHEN i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL THEN
         (SELECT array_agg(a.attname::text ORDER BY k.n)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, n)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
           WHERE k.n <= i.indnkeyatts) END::text,
       CASE WHEN m.amname = 'btree' THEN 10 ELSE 1 END,
       format('DROP INDEX %s', i.indexrelid::regclass)
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
 WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND NOT i.indisreplident
   AND NOT i.indisclustered AND x.reltablespace = 0
   AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid))";

// An index that takes new entries into a list first, to be merged in large portions: it may stay.
constexpr const char* kGathers =
    "(m.amname = 'gin' AND coalesce((SELECT option_value::boolean FROM "
    "pg_options_to_table(x.reloptions) WHERE option_name = 'fastupdate'), true))";

std::vector<std::string> mapped_names(const Mapping& mapping) {
  std::vector<std::string> names;
  for (const auto& map : mapping.tables) {
    if (map.only != Only::kOld) names.push_back(quoted_name(map));
  }
  return names;
}

// Drops one object unless something else depends on it; remembers it first.
void drop_one(Connection& connection, const Mapping& mapping, std::string_view store,
              const Result& found, int row, bool left_out) {
  const auto value = [&](int column) -> std::optional<std::string> {
    if (found.is_null(row, column)) return std::nullopt;
    return found.string(row, column);
  };
  connection.exec("SAVEPOINT switchback_drop");
  try {
    connection.exec(
        "INSERT INTO switchback.dropped_object (bridge, store, table_name, position, sort, name, "
        "definition, expression, columns, weight, left_out) "
        "VALUES ($1, $2, $3, $9::int, $4, $5, $6, $7, $8::text[], $9::bigint, $10::boolean) "
        "ON CONFLICT (bridge, table_name, sort, name) DO NOTHING",
        {mapping.bridge, std::string(store), value(0), value(1), value(2), value(3), value(4),
         value(5), value(6), left_out ? "true" : "false"});
    connection.exec(found.string(row, 7));
    connection.exec("RELEASE SAVEPOINT switchback_drop");
  } catch (const Error& error) {
    const bool depended_on = error.detail().sqlstate == "2BP01";
    const bool not_ours = error.detail().sqlstate == "42501";
    if (!connection.alive() || (!depended_on && !not_ours)) throw;
    connection.exec("ROLLBACK TO SAVEPOINT switchback_drop; RELEASE SAVEPOINT switchback_drop");
  }
}

void drop_all(Connection& connection, const Mapping& mapping, std::string_view store,
              const std::string& sql, const std::string& table, bool left_out) {
  connection.exec("SET LOCAL search_path = pg_catalog");
  const Result found = connection.exec(sql, {table, text_array(mapped_names(mapping))});
  for (int i = 0; i < found.rows(); ++i) {
    drop_one(connection, mapping, store, found, i, left_out);
  }
  connection.exec("SET LOCAL search_path = pg_catalog, public");
}

void drop_foreign_keys(Connection& connection, const Mapping& mapping, std::string_view store,
                       const TableMap& table, bool left_out) {
  drop_all(connection, mapping, store,
           std::string(kConstraints) +
               " AND c.conrelid = to_regclass($1) AND c.contype = 'f' AND $2::text[] IS NOT NULL",
           quoted_name(table), left_out);
}

std::uint16_t rank_of(const Mapping& mapping, const std::string& table) {
  const TableMap* map = find_quoted(mapping, table);
  return map != nullptr ? map->rank : UINT16_MAX;
}

/// Of a constraint, by rows. Where there is nothing to repair, the other stream was quicker: it
/// moved a row away that broke two of them.
bool is_violation(const Error& error) {
  return error.detail().sqlstate.starts_with("23");
}

bool made_already(const Error& error) {
  return error.detail().sqlstate == "42P07" || error.detail().sqlstate == "42710" ||
         error.detail().sqlstate == "42P16";
}

void forget(Connection& connection, const Mapping& mapping, const DroppedObject& object) {
  connection.exec(
      "DELETE FROM switchback.dropped_object WHERE bridge = $1 AND table_name = $2 AND "
      "sort = $3 AND name = $4",
      {mapping.bridge, object.table, std::string(1, object.sort), object.name});
}

}  // namespace

void drop_for_load(Connection& connection, const Mapping& mapping, std::string_view store,
                   const TableMap& table) {
  const std::string name = quoted_name(table);
  // Incoming foreign keys first: they hold the primary key.
  drop_all(connection, mapping, store,
           std::string(kConstraints) +
               " AND (c.conrelid = to_regclass($1) OR (c.contype = 'f' AND c.confrelid = "
               "to_regclass($1) AND c.conrelid = ANY ($2::regclass[]::oid[])))"
               " ORDER BY c.contype <> 'f', c.contype <> 'c', c.conname",
           name, false);
  drop_all(connection, mapping, store,
           fmt::format("{} AND $2::text[] IS NOT NULL AND NOT {}", kIndexes, kGathers), name,
           false);
}

void drop_foreign_keys_for_load(Connection& connection, const Mapping& mapping,
                                std::string_view store, const TableMap& table) {
  drop_foreign_keys(connection, mapping, store, table, false);
}

void leave_out_foreign_keys(Connection& connection, const Mapping& mapping, std::string_view store,
                            const TableMap& table) {
  drop_foreign_keys(connection, mapping, store, table, true);
}

std::vector<DroppedObject> dropped_objects(Connection& connection, const Mapping& mapping,
                                           std::string_view store, bool primary_keys) {
  const Result rows = connection.exec(
      "SELECT table_name, sort, name, definition, coalesce(expression, ''), columns, "
      "array_length(columns, 1) FROM switchback.dropped_object WHERE bridge = $1 AND store = $2 "
      "AND NOT left_out AND (sort = 'p') = $3::boolean ORDER BY position, "
      "pg_relation_size(to_regclass(table_name)) DESC NULLS LAST, name",
      {mapping.bridge, std::string(store), primary_keys ? "true" : "false"});
  std::vector<DroppedObject> objects;
  for (int i = 0; i < rows.rows(); ++i) {
    DroppedObject& object = objects.emplace_back();
    object.table = rows.string(i, 0);
    object.sort = rows.text(i, 1).front();
    object.name = rows.string(i, 2);
    object.definition = rows.string(i, 3);
    object.expression = rows.string(i, 4);
    if (!rows.is_null(i, 5)) {
      const Result columns = connection.exec("SELECT unnest($1::text[])", {rows.string(i, 5)});
      for (int k = 0; k < columns.rows(); ++k) object.columns.push_back(columns.string(k, 0));
    }
  }
  std::stable_sort(objects.begin(), objects.end(), [&](const auto& a, const auto& b) {
    if ((a.sort == 'f') != (b.sort == 'f')) return b.sort == 'f';
    return a.sort == 'f' && rank_of(mapping, a.table) < rank_of(mapping, b.table);
  });
  return objects;
}

std::vector<DroppedObject> finishing_touches(Connection& connection, const Mapping& mapping,
                                             std::string_view store) {
  std::vector<std::string> names;
  for (const auto& map : mapping.tables) {
    if (map.store == store && map.only != Only::kOld) names.push_back(quoted_name(map));
  }
  const Result rows = connection.exec(
      fmt::format("SELECT t::text, what, statement FROM ("
                  "SELECT t, 'statistics' AS what, 'ANALYZE ' || t AS statement "
                  "FROM unnest($1::regclass[]) AS t UNION ALL "
                  "SELECT i.indrelid, x.relname::text, "
                  "format('SELECT gin_clean_pending_list(%L)', x.oid) "
                  "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid "
                  "JOIN pg_am m ON m.oid = x.relam "
                  "WHERE i.indrelid = ANY ($1::regclass[]::oid[]) AND i.indisvalid AND {}) touches "
                  "ORDER BY pg_relation_size(t) DESC",
                  kGathers),
      {text_array(names)});
  std::vector<DroppedObject> touches;
  for (int i = 0; i < rows.rows(); ++i) {
    DroppedObject& touch = touches.emplace_back();
    touch.table = rows.string(i, 0);
    touch.sort = 't';
    touch.name = rows.string(i, 1);
    touch.definition = rows.string(i, 2);
  }
  return touches;
}

void make_object(Connection& connection, const Mapping& mapping, std::string_view store,
                 const DroppedObject& object) {
  for (int round = 0;; ++round) {
    connection.exec(std::string("BEGIN; ") + kPassFence +
                    "; SET LOCAL maintenance_work_mem = '192MB'; SAVEPOINT switchback_make");
    connection.exec("SELECT pg_logical_emit_message(true, 'switchback', 'echo')");
    try {
      connection.exec(object.definition);
      forget(connection, mapping, object);
    } catch (const Error& error) {
      if (!connection.alive()) throw;
      connection.exec("ROLLBACK TO SAVEPOINT switchback_make");
      if (made_already(error)) {
        forget(connection, mapping, object);
      } else if (round < kMostRepairs && error.retry() == Retry::kLater &&
                 error.kind() == ErrorKind::kBusy) {
        connection.exec("ROLLBACK");
        continue;
      } else if (round >= kMostRepairs ||
                 !(repair_for(connection, mapping, store, object, error) || is_violation(error))) {
        connection.exec("ROLLBACK");
        throw;
      } else {
        failpoint("load.rest.commit.before");
        connection.exec("COMMIT");
        failpoint("load.rest.commit.after");
        continue;
      }
    }
    failpoint(object.sort == 'p' ? "load.key.commit.before" : "load.rest.commit.before");
    connection.exec("COMMIT");
    failpoint(object.sort == 'p' ? "load.key.commit.after" : "load.rest.commit.after");
    return;
  }
}

void insert_rejects(Connection& connection, const Mapping& mapping, std::string_view store,
                    std::span<const Reject> rejects) {
  for (const Reject& reject : rejects) {
    connection.exec(
        "INSERT INTO switchback.quarantine (bridge, store, table_name, key, reason, sqlstate) "
        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (bridge, store, table_name, key) DO UPDATE "
        "SET reason = excluded.reason, sqlstate = excluded.sqlstate",
        {mapping.bridge, std::string(store), plain_name(mapping.table(reject.table)),
         storable_key(reject.key), storable_text(reject.reason), reject.sqlstate});
  }
}

}  // namespace switchback
