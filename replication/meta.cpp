#include "replication/meta.h"

#include <array>

#include "replication/names.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

struct MetaObject {
  std::string_view name;
  std::string_view sql;
};

constexpr std::array kTables = std::to_array<MetaObject>({
    {"switchback.group_state",
     R"(CREATE TABLE switchback.group_state (
  bridge text, grp text, gate text NOT NULL CHECK (gate IN ('open', 'closed')),
  epoch bigint NOT NULL, primary_side text NOT NULL CHECK (primary_side IN ('old', 'postgres')),
  phase text NOT NULL, changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (bridge, grp)))"},
    {"switchback.checkpoint",
     R"(CREATE TABLE switchback.checkpoint (
  bridge text, store text, history bigint NOT NULL, value bigint NOT NULL, proof bigint NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (bridge, store)))"},
    {"switchback.quarantine",
     R"(CREATE TABLE switchback.quarantine (
  bridge text, store text, table_name text, key text, reason text NOT NULL, sqlstate text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(), accepted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (bridge, store, table_name, key)))"},
    {"switchback.load",
     R"(CREATE TABLE switchback.load (
  bridge text, store text, table_name text, part int, cursor text NOT NULL,
  estimate bigint NOT NULL, rows bigint NOT NULL, done boolean NOT NULL,
  PRIMARY KEY (bridge, store, table_name, part)))"},
    {"switchback.load_step",
     R"(CREATE TABLE switchback.load_step (
  bridge text, store text, step text, at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (bridge, store, step)))"},
    {"switchback.dropped_object",
     R"(CREATE TABLE switchback.dropped_object (
  bridge text, store text, table_name text, position int, sort text NOT NULL, name text NOT NULL,
  definition text NOT NULL, expression text, columns text[], weight bigint NOT NULL,
  left_out boolean NOT NULL DEFAULT false, PRIMARY KEY (bridge, table_name, sort, name)))"},
    // Where each slot began: the only position that a fresh one may have confirmed beyond what the
    // old store holds. See replication/slot.h.
    {"switchback.slot",
     R"(CREATE TABLE switchback.slot (
  bridge text, store text, slot text NOT NULL, born_lsn pg_lsn NOT NULL,
  PRIMARY KEY (bridge, store)))"},
    // Rows whose record the old store dropped and that stay (deletes = "keep"), for as long as they
    // are the version that was there then. See replication/outlived.h.
    {"switchback.outlived",
     R"(CREATE TABLE switchback.outlived (
  bridge text, store text, table_name text, key text, version xid NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (bridge, store, table_name, key)))"},
    {"switchback.app_trigger",
     R"(CREATE TABLE switchback.app_trigger (
  bridge text, table_name text, trigger_name text, enabled "char" NOT NULL,
  PRIMARY KEY (bridge, table_name, trigger_name)))"},
});

// A transaction that began before the flip may still see the open gate: then the primary has just
// gone to the old side, at the next epoch. The function refuses whatever it finds, even no row.
constexpr std::array kFunctions = std::to_array<MetaObject>({
    {"switchback.refuse_write()",
     R"(CREATE FUNCTION switchback.refuse_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $switchback$
DECLARE
  epoch_now text;
BEGIN
  SELECT CASE gate WHEN 'open' THEN epoch + 1 ELSE epoch END::text INTO epoch_now
    FROM switchback.group_state WHERE bridge = TG_ARGV[0] AND grp = TG_ARGV[1];
  RAISE EXCEPTION USING ERRCODE = '25006',
    MESSAGE = format('switchback: writes to %s.%s go to "old" (group %s, epoch %s)',
                     TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[1], coalesce(epoch_now, 'unknown')),
    DETAIL = format('primary=old group=%s epoch=%s', TG_ARGV[1], coalesce(epoch_now, 'unknown')),
    HINT = format('Read the file "primary" in the run folder or call switchback.primary(%L), then '
                  'run the unit of work again on that side.', TG_ARGV[1]);
END $switchback$)"},
    // Rows of a partition that is truncated alone would stay on the other side: the server
    // publishes a TRUNCATE of the whole table only. Their keys are, in messages; deleting the rows
    // instead would wake the application's own triggers and foreign keys.
    {"switchback.publish_truncate()",
     R"(CREATE FUNCTION switchback.publish_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'iso_8601' SET extra_float_digits = 3
SET bytea_output = 'hex' AS $switchback$
DECLARE
  root regclass := pg_partition_root(TG_RELID);
  root_schema text;
  root_name text;
  key_columns text;
  some_keys json;
BEGIN
  SELECT nspname, relname INTO root_schema, root_name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = root;
  SELECT string_agg(format('%I::text', a.attname), ', ' ORDER BY k.position) INTO key_columns
    FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (number, position), pg_attribute a
   WHERE i.indrelid = root AND i.indisprimary AND a.attrelid = root AND a.attnum = k.number;
  FOR some_keys IN EXECUTE format(
    'SELECT json_agg(key) FROM (SELECT json_build_array(%s) AS key, row_number() OVER () / 1000 '
    'AS part FROM ONLY %I.%I) AS keys GROUP BY part', key_columns, TG_TABLE_SCHEMA, TG_TABLE_NAME)
  LOOP
    PERFORM pg_logical_emit_message(true, 'switchback', 'gone ' || json_build_object(
      'schema', root_schema, 'table', root_name, 'keys', some_keys));
  END LOOP;
  RETURN NULL;
END $switchback$)"},
    // A cascade would take rows along that nobody says are gone, and what hangs on those.
    {"switchback.refuse_cascade(regclass)",
     R"(CREATE FUNCTION switchback.refuse_cascade(child regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $switchback$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
    MESSAGE = format('rows of %s still refer to it, and ON DELETE CASCADE would take them along',
                     child);
END $switchback$)"},
    {"switchback.primary(text)",
     R"(CREATE FUNCTION switchback.primary(grp text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $switchback$
  SELECT CASE WHEN count(DISTINCT primary_side) = 1 THEN min(primary_side) END
    FROM switchback.group_state WHERE group_state.grp = $1
$switchback$)"},
});

bool found(Connection& connection, const char* probe, std::string_view name) {
  return !connection.exec(probe, {std::string(name)}).is_null(0, 0);
}

}  // namespace

std::vector<std::string> plan_meta(Connection& connection) {
  std::vector<std::string> plan;
  if (!found(connection, "SELECT to_regnamespace($1)", kMetaSchema)) {
    plan.emplace_back("CREATE SCHEMA switchback");
    plan.emplace_back("GRANT USAGE ON SCHEMA switchback TO PUBLIC");
  }
  for (const auto& table : kTables) {
    if (found(connection, "SELECT to_regclass($1)", table.name)) continue;
    plan.emplace_back(table.sql);
    if (table.name == "switchback.group_state") {
      plan.emplace_back("GRANT SELECT ON switchback.group_state TO PUBLIC");
    }
  }
  for (const auto& function : kFunctions) {
    if (!found(connection, "SELECT to_regprocedure($1)", function.name)) {
      plan.emplace_back(function.sql);
    }
  }
  return plan;
}

bool has_meta(Connection& connection) {
  return found(connection, "SELECT to_regclass($1)", "switchback.group_state");
}

std::vector<std::string_view> meta_tables() {
  std::vector<std::string_view> names;
  for (const auto& table : kTables) names.push_back(table.name);
  return names;
}

std::vector<std::string_view> meta_functions() {
  std::vector<std::string_view> names;
  for (const auto& function : kFunctions) names.push_back(function.name);
  return names;
}

std::string quoted_name(const TableMap& table) {
  return quote_identifier(table.schema) + "." + quote_identifier(table.table);
}

std::string plain_name(const TableMap& table) {
  return table.schema + "." + table.table;
}

std::string text_array(const std::vector<std::string>& items) {
  std::string out = "{";
  for (const auto& item : items) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : item) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + "}";
}

Position read_checkpoint(Connection& connection, const std::string& bridge,
                         const std::string& store) {
  const Result found = connection.exec(
      "SELECT history, value, proof FROM switchback.checkpoint WHERE bridge = $1 AND store = $2",
      {bridge, store});
  if (found.rows() == 0) return {};
  return {static_cast<std::uint64_t>(found.integer(0, 0)),
          static_cast<std::uint64_t>(found.integer(0, 1)),
          static_cast<std::uint64_t>(found.integer(0, 2))};
}

void note_phase(Connection& connection, std::string_view bridge, std::string_view group,
                Phase phase) {
  connection.exec(
      "UPDATE switchback.group_state SET phase = $3, changed_at = clock_timestamp() "
      "WHERE bridge = $1 AND grp = $2 AND phase <> $3",
      {std::string(bridge), std::string(group), std::string(to_string(phase))});
}

}  // namespace switchback
