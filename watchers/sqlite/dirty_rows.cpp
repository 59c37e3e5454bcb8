#include "watchers/sqlite/dirty_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "state/base/error.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

std::string table_name(const TableMap& map) {
  return "main." + quote_identifier(map.old_table);
}

// Where the key is text in PostgreSQL, 1 and 1.0 are two keys there although SQLite finds one row
// by both.
std::string exists_sql(const TableMap& map) {
  std::string sql = fmt::format("SELECT 1 FROM {} WHERE {}", table_name(map), key_condition(map));
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    if (kind_of(map.columns[i].type) != Kind::kText) continue;
    sql += fmt::format(" AND typeof({}) = typeof(?{})", quote_identifier(map.columns[i].old_name),
                       i + 1);
  }
  return sql;
}

std::string null_keyed_sql(const TableMap& map) {
  std::string sql = fmt::format("SELECT {} FROM {} WHERE ", column_list(map), table_name(map));
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    sql += fmt::format("{}{} COLLATE BINARY IS ?{}", i == 0 ? "" : " AND ",
                       quote_identifier(map.columns[i].old_name), i + 1);
  }
  return sql + " LIMIT 1";
}

bool has_null(std::span<const StoredValue> key) {
  return std::any_of(key.begin(), key.end(),
                     [](const StoredValue& value) { return value.type == SQLITE_NULL; });
}

void bind_key(const Prepared& statement, std::span<const StoredValue> key) {
  for (std::size_t i = 0; i < key.size(); ++i) {
    bind_value(statement.get(), static_cast<int>(i) + 1, key[i]);
  }
}

}  // namespace

DirtyRows::DirtyRows(SQLite::Database& database, const Mapping& mapping, const TableMap& map)
    : map_(map),
      row_(database, map),
      exists_(database, exists_sql(map)),
      null_keyed_(database, null_keyed_sql(map)) {
  for (const TableMap& child : mapping.tables) {
    if (!child.flows() || child.store != map.store) continue;
    for (const ForeignKey& key : child.foreign_keys) {
      if (key.parent == map.id) add_children(database, child, key);
    }
  }
}

void DirtyRows::add_children(SQLite::Database& database, const TableMap& child,
                             const ForeignKey& key) {
  const bool cascades = key.on_delete == 'c';
  const bool refuses = key.on_delete == 'a' || key.on_delete == 'r' || cascades;
  if (refuses && child.id != map_.id) refusing_.push_back(child.id);
  if (refuses && !cascades) return;
  std::string sql = "SELECT ";
  for (std::uint16_t i = 0; i < child.key_width; ++i) {
    sql += (i == 0 ? "" : ", ") + quote_identifier(child.columns[i].old_name);
  }
  sql += " FROM " + table_name(child) + " WHERE ";
  const bool by_key = std::all_of(key.parent_columns.begin(), key.parent_columns.end(),
                                  [&](std::uint16_t column) { return column < map_.key_width; });
  std::vector<std::uint16_t> key_part;
  std::string condition;
  std::string join;
  for (std::size_t i = 0; i < key.columns.size(); ++i) {
    const std::string name = quote_identifier(child.columns[key.columns[i]].old_name);
    const char* const glue = i == 0 ? "" : " AND ";
    condition += fmt::format("{}{} = ?{}", glue, name, i + 1);
    join += fmt::format("{}parent.{} = child.{}", glue,
                        quote_identifier(map_.columns[key.parent_columns[i]].old_name), name);
    key_part.push_back(key.parent_columns[i]);
  }
  if (!by_key) {
    // The deleted row's other columns are gone with it: every child without a parent may be one.
    sql = sql.substr(0, sql.rfind(" FROM ")) + " FROM " + table_name(child) +
          " AS child WHERE NOT EXISTS (SELECT 1 FROM " + table_name(map_) + " AS parent WHERE " +
          join + ")";
    key_part.clear();
  } else {
    sql += condition;
  }
  children_.push_back({child.id, child.key_width, cascades, key_part, Prepared(database, sql)});
}

bool DirtyRows::append_null_keyed(std::span<const StoredValue> key, Chunk* out) {
  bind_key(null_keyed_, key);
  const ResetAtEnd reset(null_keyed_);
  if (!null_keyed_.step()) return false;
  if (out != nullptr) append_row(map_, null_keyed_.get(), *out);
  return true;
}

bool DirtyRows::present(std::span<const StoredValue> key) {
  if (has_null(key)) return append_null_keyed(key, nullptr);
  bind_key(exists_, key);
  const ResetAtEnd reset(exists_);
  return exists_.step();
}

void DirtyRows::append_upsert(std::span<const StoredValue> key, Chunk& out) {
  if (has_null(key) ? append_null_keyed(key, &out) : row_.append_current(key, out)) return;
  throw Error(ErrorKind::kInternal, Retry::kLater, "a row vanished within one snapshot",
              {.object = map_.old_table});
}

void DirtyRows::append_delete(std::span<const StoredValue> key, Chunk& out) {
  std::string why;
  if (append_key(map_, key, out, why)) out.end_delete(map_.id);
}

void DirtyRows::visit_children(std::span<const StoredValue> key, const VisitChild& visit) {
  for (Children& children : children_) {
    for (std::size_t i = 0; i < children.key_part.size(); ++i) {
      bind_value(children.statement.get(), static_cast<int>(i) + 1, key[children.key_part[i]]);
    }
    const ResetAtEnd reset(children.statement);
    while (children.statement.step()) {
      child_key_.resize(children.key_width);
      for (std::uint16_t i = 0; i < children.key_width; ++i) {
        child_key_[i] = StoredValue::of_column(children.statement.get(), i);
      }
      visit(children.table, child_key_, children.deleted);
    }
  }
}

}  // namespace switchback
