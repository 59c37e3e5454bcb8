#include "watchers/sqlite/schema.h"

#include <algorithm>
#include <map>

#include "state/base/error.h"
#include "state/base/sql_quote.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/sql_scan.h"

namespace switchback {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return SqlToken{a, 0, false}.is(b);
}

void read_columns(SQLite::Database& database, SqliteTable& table) {
  SQLite::Statement query(database,
                          "SELECT name, type, \"notnull\", dflt_value, pk, hidden "
                          "FROM pragma_table_xinfo(?, 'main') ORDER BY cid");
  query.bind(1, table.name);
  std::map<int, int> key;
  while (query.executeStep()) {
    SqliteColumn column;
    column.name = query.getColumn(0).getString();
    column.declared_type = query.getColumn(1).getString();
    column.not_null = query.getColumn(2).getInt() != 0;
    if (!query.getColumn(3).isNull()) column.default_sql = query.getColumn(3).getString();
    column.hidden = query.getColumn(5).getInt();
    const int place = query.getColumn(4).getInt();
    if (place > 0) key[place] = static_cast<int>(table.columns.size());
    table.columns.push_back(std::move(column));
  }
  for (const auto& [place, column] : key) table.primary_key.push_back(column);
}

/// The terms' own SQL is only in the CREATE INDEX statement; indexes made for a UNIQUE or PRIMARY
/// KEY clause have none, and no expressions either.
SqliteUniqueIndex read_index(SQLite::Database& database, const SqliteTable& table,
                             const std::string& name) {
  SqliteUniqueIndex index;
  index.name = name;
  IndexText text;
  SQLite::Statement sql(database,
                        "SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = ?");
  sql.bind(1, name);
  if (sql.executeStep() && !sql.getColumn(0).isNull()) {
    text = parse_create_index(sql.getColumn(0).getString());
  }
  index.where = text.where;

  SQLite::Statement query(database,
                          "SELECT cid, coll FROM pragma_index_xinfo(?, 'main') WHERE key = 1 "
                          "ORDER BY seqno");
  query.bind(1, name);
  while (query.executeStep()) {
    SqliteUniqueTerm term;
    term.column = query.getColumn(0).getInt();
    term.collation = query.getColumn(1).getString();
    if (term.column >= 0) {
      term.expression =
          quote_identifier(table.columns.at(static_cast<std::size_t>(term.column)).name);
    } else {
      term.column = -1;
      term.expression = text.terms.at(index.terms.size());
    }
    index.terms.push_back(std::move(term));
  }
  return index;
}

void read_unique_indexes(SQLite::Database& database, SqliteTable& table) {
  SQLite::Statement query(database,
                          "SELECT name, origin FROM pragma_index_list(?, 'main') "
                          "WHERE \"unique\" = 1 ORDER BY seq");
  query.bind(1, table.name);
  bool key_has_index = false;
  while (query.executeStep()) {
    table.unique_indexes.push_back(read_index(database, table, query.getColumn(0).getString()));
    key_has_index |= query.getColumn(1).getString() == "pk";
  }
  if (table.primary_key.size() != 1 || key_has_index || table.without_rowid) return;
  // A key of one column without an index is the rowid itself.
  const int key = table.primary_key.front();
  const auto& column = table.columns.at(static_cast<std::size_t>(key));
  table.rowid_alias = same_word(column.declared_type, "INTEGER");
  table.unique_indexes.insert(table.unique_indexes.begin(),
                              {"", {{quote_identifier(column.name), key, "BINARY"}}, ""});
}

bool has_autoincrement(const std::string& sql) {
  const auto tokens = scan_sql(sql);
  return std::any_of(tokens.begin(), tokens.end(),
                     [](const SqlToken& token) { return token.is("AUTOINCREMENT"); });
}

}  // namespace

std::vector<SqliteTable> read_schema(SQLite::Database& database) {
  // Shadow tables belong to virtual ones; their name is the only other thing that says so.
  SQLite::Statement query(database,
                          "SELECT l.name, s.sql, l.wr FROM pragma_table_list AS l "
                          "JOIN main.sqlite_schema AS s ON s.name = l.name AND s.type = 'table' "
                          "WHERE l.schema = 'main' AND l.type = 'table' ORDER BY l.name");
  std::vector<SqliteTable> tables;
  while (query.executeStep()) {
    SqliteTable table;
    table.name = query.getColumn(0).getString();
    if (table.name.starts_with("sqlite_") || table.name.starts_with(kTriggerPrefix)) continue;
    table.sql = query.getColumn(1).getString();
    table.without_rowid = query.getColumn(2).getInt() != 0;
    table.autoincrement = has_autoincrement(table.sql);
    read_columns(database, table);
    read_unique_indexes(database, table);
    tables.push_back(std::move(table));
  }
  return tables;
}

std::vector<std::string> rowid_names(const SqliteTable& table) {
  std::vector<std::string> names;
  if (table.without_rowid) return names;
  for (const char* name : {"rowid", "_rowid_", "oid"}) {
    const auto takes_it = [&](const SqliteColumn& column) { return same_word(column.name, name); };
    if (std::none_of(table.columns.begin(), table.columns.end(), takes_it))
      names.emplace_back(name);
  }
  return names;
}

}  // namespace switchback
