// Taking the bridge off PostgreSQL: one script, for a person with psql and for the program alike.
#include <fmt/format.h>

#include "replication/install.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "replication/slot.h"
#include "state/base/failpoint.h"
#include "state/base/log.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

// {0} bridge, {1} store, {2} publication, {3} groups as an array: quoted literals.
// Each step looks before it acts, so the script may be run again, and on a database without a
// bridge.
constexpr const char* kBody = R"(DO $switchback$
DECLARE
  item record;
BEGIN
  IF to_regclass('switchback.app_trigger') IS NOT NULL THEN
    FOR item IN SELECT a.* FROM switchback.app_trigger a JOIN pg_trigger g
        ON g.tgrelid = to_regclass(a.table_name) AND g.tgname = a.trigger_name
        WHERE a.bridge = {0} ORDER BY a.table_name, a.trigger_name LOOP
      EXECUTE format('ALTER TABLE ONLY %s %s TRIGGER %I', item.table_name,
        CASE item.enabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA'
          ELSE 'ENABLE' END, item.trigger_name);
    END LOOP;
    DELETE FROM switchback.app_trigger WHERE bridge = {0};
  END IF;
  -- What the load took off and has not made again. Rows that break a foreign key stay: then it is
  -- made for future rows only.
  IF to_regclass('switchback.dropped_object') IS NOT NULL THEN
    FOR item IN SELECT * FROM switchback.dropped_object WHERE bridge = {0} AND store = {1}
        ORDER BY position LOOP
      BEGIN
        EXECUTE item.definition;
      EXCEPTION
        WHEN foreign_key_violation OR check_violation THEN
          BEGIN
            EXECUTE regexp_replace(item.definition, '(; COMMENT ON .*)?$', ' NOT VALID\1');
          EXCEPTION WHEN wrong_object_type THEN
            -- A partitioned table takes no such key before PostgreSQL 18.
            RAISE NOTICE 'switchback: % is not made again, since rows break it. Once none does: %',
              item.name, item.definition;
          END;
        WHEN undefined_table OR duplicate_table OR duplicate_object THEN
          RAISE NOTICE 'switchback: % is not made again: %', item.name, SQLERRM;
      END;
    END LOOP;
    DELETE FROM switchback.dropped_object WHERE bridge = {0} AND store = {1};
  END IF;
  FOR item IN SELECT g.tgname, g.tgrelid::regclass AS rel FROM pg_trigger g
      WHERE g.tgfoid IN (to_regprocedure('switchback.refuse_write()'),
                         to_regprocedure('switchback.publish_truncate()')) AND NOT g.tgisinternal
        AND split_part(encode(g.tgargs, 'escape'), '\000', 1) = encode({0}::bytea, 'escape')
        AND split_part(encode(g.tgargs, 'escape'), '\000', 2) = ANY ({3}) LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', item.tgname, item.rel);
  END LOOP;
  EXECUTE 'DROP PUBLICATION IF EXISTS ' || quote_ident({2});
  IF to_regclass('switchback.group_state') IS NULL THEN
    RETURN;
  END IF;
  DELETE FROM switchback.group_state WHERE bridge = {0} AND grp = ANY ({3});
)";

void append_rows(std::string& out, std::string_view bridge, std::string_view store) {
  for (const auto table : meta_tables()) {
    if (table == "switchback.group_state" || table == "switchback.app_trigger" ||
        table == "switchback.dropped_object") {
      continue;
    }
    out += fmt::format(
        "  IF to_regclass('{0}') IS NOT NULL THEN\n"
        "    DELETE FROM {0} WHERE bridge = {1} AND store = {2};\n  END IF;\n",
        table, quote_literal(bridge), quote_literal(store));
  }
}

void append_schema(std::string& out) {
  out +=
      "  IF NOT EXISTS (SELECT 1 FROM switchback.group_state) THEN\n"
      "    -- No other bridge is here. RESTRICT: what is not ours stops the drop.\n";
  for (const auto function : meta_functions()) {
    out += fmt::format("    DROP FUNCTION IF EXISTS {};\n", function);
  }
  for (const auto table : meta_tables()) {
    out += fmt::format("    DROP TABLE IF EXISTS {};\n", table);
  }
  out += "    DROP SCHEMA switchback RESTRICT;\n  END IF;\nEND $switchback$;\n";
}

std::string groups_array(const Mapping& mapping, std::string_view store) {
  std::string out;
  for (const auto& map : mapping.tables) {
    if (map.store != store) continue;
    const std::string group = quote_literal(map.group);
    if (out.find(group) == out.npos) out += (out.empty() ? "" : ", ") + group;
  }
  return "ARRAY[" + out + "]::text[]";
}

std::string slot_removal(const std::string& slot) {
  return fmt::format(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = "
      "{} AND database = current_database();\n",
      quote_literal(slot));
}

std::string removal_body(const Mapping& mapping, std::string_view store) {
  const ObjectNames names = names_for(mapping.bridge, store);
  std::string out =
      fmt::format(fmt::runtime(kBody), quote_literal(mapping.bridge), quote_literal(store),
                  quote_literal(names.publication), groups_array(mapping, store));
  append_rows(out, mapping.bridge, store);
  append_schema(out);
  return out;
}

/// Of the server's notices, those of the script.
void tell_what_is_left_out(void*, const char* message) {
  constexpr std::string_view kOurs = "switchback: ";
  std::string_view text(message);
  const auto at = text.find(kOurs);
  if (at == text.npos) return;
  text.remove_prefix(at + kOurs.size());
  log_warning(std::string(text.substr(0, text.find('\n'))));
}

}  // namespace

std::string postgres_removal_script(const Mapping& mapping, std::string_view store) {
  return fmt::format(
      "-- Takes the bridge \"{}\" off PostgreSQL: its slot, publication, fences and book-keeping.\n"
      "-- Stop its sidecar first. Run it as the role that installed it: psql -1 -f FILE\n"
      "-- Your tables and their rows stay. Running it again does no harm.\n{}{}",
      mapping.bridge, slot_removal(names_for(mapping.bridge, store).slot),
      removal_body(mapping, store));
}

void remove_postgres(Connection& connection, const Mapping& mapping, std::string_view store) {
  drop_slot(connection, names_for(mapping.bridge, store).slot);
  PQsetNoticeProcessor(connection.raw(), tell_what_is_left_out, nullptr);
  connection.exec("BEGIN; SET LOCAL lock_timeout = '10s'");
  try {
    connection.exec(removal_body(mapping, store));
    failpoint("pg.remove.commit.before");
    connection.exec("COMMIT");
    failpoint("pg.remove.commit.after");
  } catch (...) {
    PQclear(PQexec(connection.raw(), "ROLLBACK"));
    throw;
  }
}

}  // namespace switchback
