// What a SQLite database says of its own tables. The mapping is built from it, capture triggers are
// written from it, `check` judges it.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchback {

struct SqliteColumn {
  std::string name;
  std::string declared_type;
  bool not_null = false;
  int hidden = 0;           // PRAGMA table_xinfo: 2 generated virtual, 3 generated stored
  std::string default_sql;  // the DEFAULT expression, empty if none
};

struct SqliteUniqueTerm {
  std::string expression;  // quoted column name, or the index expression's SQL
  int column = -1;         // index into SqliteTable::columns; -1 for an expression
  std::string collation;   // "BINARY", "NOCASE", …
};

struct SqliteUniqueIndex {
  std::string name;
  std::vector<SqliteUniqueTerm> terms;
  std::string where;  // a partial index's condition, empty if none
};

struct SqliteTable {
  std::string name;
  std::string sql;
  bool without_rowid = false;
  bool autoincrement = false;
  std::vector<SqliteColumn> columns;
  std::vector<int> primary_key;  // indexes into columns, in key order; empty if none is declared
  bool rowid_alias = false;      // the primary key is INTEGER PRIMARY KEY
  std::vector<SqliteUniqueIndex> unique_indexes;  // the primary key's own included
};

/// The application's tables, by name: no sqlite_ tables, no _switchback_ tables, no virtual tables
/// and none of their shadow tables.
std::vector<SqliteTable> read_schema(SQLite::Database& database);

/// The names that mean the table's rowid and are not taken by one of its columns; none if it has no
/// rowid. https://www.sqlite.org/lang_createtable.html#rowid
std::vector<std::string> rowid_names(const SqliteTable& table);

}  // namespace switchback
