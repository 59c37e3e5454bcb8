#include "watchers/sqlite/schema.h"

#include <gtest/gtest.h>

#include "watchers/sqlite/sql_scan.h"

namespace switchback {
namespace {

std::vector<SqliteTable> schema_of(const char* sql) {
  SQLite::Database db(":memory:", SQLite::OPEN_READWRITE);
  db.exec(sql);
  return read_schema(db);
}

TEST(SqliteSchema, LeavesOutWhatIsNotTheApplications) {
  const auto tables = schema_of(
      "CREATE TABLE b(id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE a(x);"
      "CREATE TABLE _switchback_log(seq); CREATE VIRTUAL TABLE f USING fts5(x);"
      "CREATE VIEW v AS SELECT * FROM a; CREATE TABLE sqlitetable(x); CREATE TABLE "
      "xswitchback_(x)");
  std::vector<std::string> names;
  for (const auto& table : tables) names.push_back(table.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "sqlitetable", "xswitchback_"}));
  EXPECT_TRUE(tables[1].autoincrement);
  EXPECT_TRUE(tables[1].rowid_alias);
}

TEST(SqliteSchema, ColumnsAndKeys) {
  const auto tables = schema_of(
      "CREATE TABLE \"odd \"\"t\"(\"select\" TEXT NOT NULL DEFAULT ('a' || 'b'), n INT, "
      "g AS (n + 1), s AS (n * 2) STORED, /* AUTOINCREMENT */ PRIMARY KEY(n, \"select\"))"
      " WITHOUT ROWID;"
      "CREATE TABLE plain(a INT PRIMARY KEY, b TEXT); CREATE TABLE d(a INTEGER PRIMARY KEY DESC)");
  const SqliteTable& odd = tables.at(1);
  EXPECT_EQ(odd.name, "odd \"t");
  EXPECT_TRUE(odd.without_rowid);
  EXPECT_FALSE(odd.autoincrement);
  ASSERT_EQ(odd.columns.size(), 4u);
  EXPECT_TRUE(odd.columns[0].not_null);
  EXPECT_EQ(odd.columns[0].default_sql, "'a' || 'b'");
  EXPECT_EQ(odd.columns[2].hidden, 2);
  EXPECT_EQ(odd.columns[3].hidden, 3);
  EXPECT_EQ(odd.primary_key, (std::vector<int>{1, 0}));
  EXPECT_TRUE(rowid_names(odd).empty());
  EXPECT_FALSE(tables.at(2).rowid_alias);  // INT is not INTEGER
  EXPECT_FALSE(tables.at(0).rowid_alias);  // the exception that SQLite keeps for old databases
}

TEST(SqliteSchema, UniqueIndexes) {
  const auto tables = schema_of(
      "CREATE TABLE t(a TEXT COLLATE NOCASE, b, c, UNIQUE(a, b));"
      "CREATE INDEX plain ON t(c);"
      "CREATE UNIQUE INDEX e ON t(lower(b) COLLATE RTRIM DESC, [c], (a || ',' || ')')) -- ( "
      "comment\n"
      " WHERE c > '(' AND b IN (1, 2)");
  const auto& indexes = tables.at(0).unique_indexes;
  ASSERT_EQ(indexes.size(), 2u);
  const auto& e = indexes[0].name == "e" ? indexes[0] : indexes[1];
  const auto& declared = indexes[0].name == "e" ? indexes[1] : indexes[0];
  EXPECT_EQ(e.where, "c > '(' AND b IN (1, 2)");
  ASSERT_EQ(e.terms.size(), 3u);
  EXPECT_EQ(e.terms[0].expression, "lower(b)");
  EXPECT_EQ(e.terms[0].collation, "RTRIM");
  EXPECT_EQ(e.terms[0].column, -1);
  EXPECT_EQ(e.terms[1].expression, "\"c\"");
  EXPECT_EQ(e.terms[1].column, 2);
  EXPECT_EQ(e.terms[2].expression, "(a || ',' || ')')");
  ASSERT_EQ(declared.terms.size(), 2u);
  EXPECT_EQ(declared.terms[0].collation, "NOCASE");
  EXPECT_EQ(declared.terms[1].collation, "BINARY");
}

TEST(SqlScan, QuotesCommentsAndDepth) {
  const auto tokens = scan_sql("a('it''s' /* ( */, \"x\"\"y\") -- )\n [b]]c");
  std::vector<std::string> texts;
  for (const auto& token : tokens) texts.emplace_back(token.text);
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "(", "'it''s'", ",", "\"x\"\"y\"", ")", "[b]",
                                             "]", "c"}));
  EXPECT_EQ(tokens[2].depth, 1);
  EXPECT_EQ(tokens[5].depth, 0);
  EXPECT_FALSE(tokens[2].is("IT"));
  EXPECT_TRUE(tokens[0].is("A"));
}

}  // namespace
}  // namespace switchback
