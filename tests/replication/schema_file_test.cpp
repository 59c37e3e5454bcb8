#include "replication/schema_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> texts(std::string_view sql) {
  std::vector<std::string> out;
  for (const auto& statement : split_sql(sql)) out.emplace_back(statement.text);
  return out;
}

TEST(SplitSql, SemicolonsThatEndNothing) {
  EXPECT_THAT(texts("SELECT ';'; SELECT \"a;b\";"), ElementsAre("SELECT ';'", "SELECT \"a;b\""));
  EXPECT_THAT(texts("SELECT 'it''s;' ; x"), ElementsAre("SELECT 'it''s;'", "x"));
  EXPECT_THAT(texts("SELECT E'\\';' ; x"), ElementsAre("SELECT E'\\';'", "x"));
  EXPECT_THAT(texts("SELECT '\\'; x"), ElementsAre("SELECT '\\'", "x"));
  EXPECT_THAT(texts("DO $$ a; $b$ b; $$; x"), ElementsAre("DO $$ a; $b$ b; $$", "x"));
  EXPECT_THAT(texts("DO $f$ a; $$ b; $f$; x"), ElementsAre("DO $f$ a; $$ b; $f$", "x"));
  EXPECT_THAT(texts("SELECT $1; x"), ElementsAre("SELECT $1", "x"));
  EXPECT_THAT(texts("SELECT a$b$; x$b$"), ElementsAre("SELECT a$b$", "x$b$"));
  EXPECT_THAT(texts("CREATE RULE r AS ON INSERT TO t DO (a; b); x"),
              ElementsAre("CREATE RULE r AS ON INSERT TO t DO (a; b)", "x"));
  EXPECT_THAT(
      texts("CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN 1=1 THEN 2 END; SELECT 3; END; x"),
      ElementsAre("CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN 1=1 THEN 2 END; SELECT 3; END",
                  "x"));
}

TEST(SplitSql, Comments) {
  EXPECT_THAT(texts("-- a; b\nSELECT 1 -- c;\n; /* d; /* e; */ f; */ x;\n-- end"),
              ElementsAre("SELECT 1 -- c;", "x"));
  EXPECT_THAT(texts(" ; ;\n/* only this */;"), ElementsAre());
}

TEST(SplitSql, LinesAreThoseOfTheFirstWord) {
  const auto statements = split_sql("-- one\n\nSELECT\n1;\n/* x\n*/ SELECT 'a\nb'; SELECT 3");
  ASSERT_EQ(statements.size(), 3U);
  EXPECT_EQ(statements[0].line, 3);
  EXPECT_EQ(statements[1].line, 6);
  EXPECT_EQ(statements[2].line, 7);
}

TEST(SplitSql, WhatDoesNotEndIsNamedWithItsLine) {
  for (const char* bad : {"x;\nSELECT 'a", "x;\nDO $a$ b $$", "x;\n/* a /* b */", "x;\n\\i file"}) {
    try {
      split_sql(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("line 2")) << bad;
    }
  }
}

}  // namespace
}  // namespace switchback
