#include "replication/load_repair.h"

#include <fmt/format.h>

#include "replication/codec.h"
#include "replication/meta.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

/// regclass quotes only where it must; quote_identifier() always.
std::string without_quotes(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '"') {
      out += name[i];
    } else if (i + 1 < name.size() && name[i + 1] == '"' && i > 0 && name[i - 1] != '.') {
      out += name[i++];
    }
  }
  return out;
}

std::string list(const std::vector<std::string>& columns, std::string_view prefix,
                 std::string_view glue, std::string_view suffix = "") {
  std::string out;
  for (const auto& column : columns) {
    if (!out.empty()) out += glue;
    out += fmt::format("{}{}{}", prefix, quote_identifier(column), suffix);
  }
  return out;
}

std::vector<std::string> names(const TableMap& map, const std::vector<std::uint16_t>& columns) {
  std::vector<std::string> out;
  for (const auto column : columns) out.push_back(map.columns[column].name);
  return out;
}

/// The table as a statement's target: a partitioned one with its partitions, any other alone.
std::string target_of(Connection& connection, const TableMap& map) {
  const std::string name = quoted_name(map);
  const bool partitioned =
      connection.exec("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass($1)", {name})
          .boolean(0, 0);
  return partitioned ? name : "ONLY " + name;
}

/// Deletes the rows of `map` that fulfil `condition` (on the alias t) and puts their keys into
/// quarantine. True if there were any.
bool move_rows(Connection& connection, const Mapping& mapping, std::string_view store,
               const TableMap& map, const std::string& condition, const std::string& reason,
               const std::string& sqlstate) {
  std::string keys;
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    if (i != 0) keys += ", ";
    keys += "t." + quote_identifier(map.columns[i].name);
    if (map.columns[i].type == PgType::kOtherText) keys += "::text";
  }
  const std::string sql = fmt::format("DELETE FROM {} t WHERE {} RETURNING {}",
                                      target_of(connection, map), condition, keys);
  const Result rows(
      PQexecParams(connection.raw(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 1));
  if (PQresultStatus(rows.get()) != PGRES_TUPLES_OK) {
    throw_postgres_error(connection.raw(), rows.get(), sql);
  }
  std::vector<Reject> rejects;
  Chunk chunk;
  std::vector<Cell> key(map.key_width, Cell::null());
  for (int i = 0; i < rows.rows(); ++i) {
    chunk.clear();
    for (std::uint16_t k = 0; k < map.key_width; ++k) {
      key[k] =
          rows.is_null(i, k) ? Cell::null() : decode_binary(map.columns[k], rows.text(i, k), chunk);
    }
    rejects.push_back({map.id, key_text(chunk, key), reason, sqlstate});
  }
  insert_rejects(connection, mapping, store, rejects);
  return !rejects.empty();
}

bool repair_orphans(Connection& connection, const Mapping& mapping, std::string_view store,
                    const DroppedObject& object, const TableMap& map, const Error& error) {
  for (const ForeignKey& key : map.foreign_keys) {
    if (key.name != object.name) continue;
    const TableMap& parent = mapping.table(key.parent);
    const auto child_columns = names(map, key.columns);
    const auto parent_columns = names(parent, key.parent_columns);
    std::string match;
    for (std::size_t i = 0; i < child_columns.size(); ++i) {
      match += fmt::format("{}p.{} = t.{}", i == 0 ? "" : " AND ",
                           quote_identifier(parent_columns[i]), quote_identifier(child_columns[i]));
    }
    const std::string orphan =
        fmt::format("{} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
                    list(child_columns, "t.", " AND ", " IS NOT NULL"), quoted_name(parent), match);
    if (map.orphans == Orphans::kNull) {
      try {
        connection.exec(fmt::format("SAVEPOINT switchback_null; UPDATE {} t SET {} WHERE {}",
                                    target_of(connection, map),
                                    list(child_columns, "", ", ", " = NULL"), orphan));
        return true;
      } catch (const Error& not_null) {
        if (!connection.alive() || not_null.detail().sqlstate != "23502") throw;
        connection.exec("ROLLBACK TO SAVEPOINT switchback_null");
      }
    }
    const auto move = [&] {
      return move_rows(connection, mapping, store, map, orphan,
                       fmt::format("its row in {} does not exist (foreign key {})",
                                   plain_name(parent), key.name),
                       error.detail().sqlstate);
    };
    // In a table that refers to itself each row that goes may leave orphans of its own.
    bool moved = move();
    const bool found = moved;
    while (moved && &parent == &map) moved = move();
    return found;
  }
  return false;
}

/// The condition for rows that share their entry of a unique index on expressions or with a
/// condition of its own, all but the first of each. What the index reads is asked of the server, by
/// way of a twin on an empty table. Empty if the definition is not understood.
std::string shared_entry(Connection& connection, const TableMap& map, const DroppedObject& object) {
  const std::string on = " ON " + object.table + " USING ";
  const std::size_t at = object.definition.find(on);
  if (at == std::string::npos) return "";
  std::string twin = object.definition.substr(at + on.size());
  const std::size_t comment = twin.rfind("; COMMENT ON INDEX ");
  if (comment != std::string::npos && twin.find(object.name, comment) != std::string::npos) {
    twin.resize(comment);
  }
  connection.exec(
      fmt::format("CREATE TEMP TABLE switchback_twin (LIKE {} INCLUDING GENERATED);"
                  "CREATE INDEX ON pg_temp.switchback_twin USING {}",
                  quoted_name(map), twin));
  const Result terms = connection.exec(
      "SELECT pg_get_indexdef(i.indexrelid, n, false), pg_get_expr(i.indpred, i.indrelid) "
      "FROM pg_index i, generate_series(1, i.indnkeyatts) n "
      "WHERE i.indrelid = 'pg_temp.switchback_twin'::regclass ORDER BY n");
  std::string keys;
  std::string condition = terms.is_null(0, 1) ? "true" : terms.string(0, 1);
  const bool nulls_count = object.definition.find(" NULLS NOT DISTINCT") != std::string::npos;
  for (int i = 0; i < terms.rows(); ++i) {
    keys += fmt::format("{}({})", i == 0 ? "" : ", ", terms.text(i, 0));
    if (!nulls_count) condition += fmt::format(" AND ({}) IS NOT NULL", terms.text(i, 0));
  }
  connection.exec("DROP TABLE pg_temp.switchback_twin");
  return fmt::format(
      "t.ctid IN (SELECT d.ctid FROM (SELECT ctid, row_number() OVER (PARTITION BY {} ORDER BY "
      "ctid) AS n FROM ONLY {} WHERE {}) d WHERE d.n > 1)",
      keys, quoted_name(map), condition);
}

}  // namespace

const TableMap* find_quoted(const Mapping& mapping, const std::string& quoted) {
  const std::string plain = without_quotes(quoted);
  for (const auto& map : mapping.tables) {
    if (plain_name(map) == plain || quoted_name(map) == quoted) return &map;
  }
  return nullptr;
}

std::string has_twin(const TableMap& map, const std::vector<std::string>& columns,
                     std::string_view place) {
  std::string same;
  for (const auto& column : columns) {
    same += fmt::format("u.{0} = t.{0} AND ", quote_identifier(column));
  }
  return fmt::format("EXISTS (SELECT 1 FROM ONLY {} u WHERE {}u.ctid {} t.ctid)", quoted_name(map),
                     same, place);
}

bool repair_for(Connection& connection, const Mapping& mapping, std::string_view store,
                const DroppedObject& object, const Error& error) {
  const TableMap* map = find_quoted(mapping, object.table);
  if (map == nullptr || !map->flows()) return false;
  const std::string& state = error.detail().sqlstate;
  if (state == "23503" && object.sort == 'f') {
    return repair_orphans(connection, mapping, store, object, *map, error);
  }
  if (state == "23514" && object.sort == 'c') {
    return move_rows(connection, mapping, store, *map,
                     fmt::format("({}) IS FALSE", object.expression),
                     fmt::format("it breaks the check {}", object.name), state);
  }
  if (state != "23505") return false;
  const std::string reason =
      fmt::format("another row has the same key in PostgreSQL ({})", object.name);
  if (object.columns.empty()) {
    const std::string shared = shared_entry(connection, *map, object);
    return !shared.empty() && move_rows(connection, mapping, store, *map, shared, reason, state);
  }
  // Of rows that share a key in PostgreSQL's eyes the first one stays, as it would have when they
  // had come one by one; of a primary key none does: which one is meant cannot be known. Where rows
  // stay that the old store drops, the last copy does: nobody may bring it again.
  const bool last_stays = object.sort == 'p' && map->keep_deleted;
  const std::string_view place = last_stays ? ">" : object.sort == 'p' ? "<>" : "<";
  return move_rows(connection, mapping, store, *map, has_twin(*map, object.columns, place), reason,
                   state);
}

}  // namespace switchback
