// Rows that PostgreSQL's ON DELETE CASCADE would take along: the sink leaves none to it.
#include <gmock/gmock.h>

#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SinkCascades : public test::SinkFixture {
 protected:
  /// p is referred to by t, which is referred to by g.
  void make_three(const std::string& more_of_p = "") {
    make("CREATE TABLE p (id text PRIMARY KEY" + more_of_p +
         ");"
         "CREATE TABLE t (id text PRIMARY KEY, p text REFERENCES p ON DELETE CASCADE);"
         "CREATE TABLE g (id text PRIMARY KEY, t text REFERENCES t ON DELETE CASCADE)");
  }
  void fill(const std::string& value = "") {
    value.empty() ? upsert("p", {"a"}) : upsert("p", {"a", value});
    upsert("t", {"b", "a"});
    upsert("g", {"c", "b"});
    EXPECT_THAT(commit(), IsEmpty());
  }
};

TEST_F(SinkCascades, ADeleteThatWouldTakeRowsAlongIsTurnedAway) {
  make_three();
  fill();
  remove("p", {"a"});
  const auto rejects = commit();
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_EQ(rejects[0].sqlstate, "23503");
  EXPECT_THAT(rejects[0].reason, HasSubstr("rows of public.t still refer to it"));
  EXPECT_EQ(sql("SELECT p.id || t.id || g.id FROM p, t, g"), "abc");
}

TEST_F(SinkCascades, RowsThatGoInTheSameBatchGo) {
  make_three();
  fill();
  remove("g", {"c"});
  remove("t", {"b"});
  remove("p", {"a"});
  EXPECT_THAT(commit(), IsEmpty());
  fill();
  remove("p", {"a"});  // in any order
  remove("t", {"b"});
  remove("g", {"c"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT count(*) FROM p, t, g"), "0");
}

TEST_F(SinkCascades, WhoMovesAwayKeepsWhatHangsOnIt) {
  make_three(", u int UNIQUE");
  fill("1");
  remove("p", {"a"});
  upsert("p", {"z", "1"});  // waits for the value of the one that goes
  upsert("t", {"b", "z"});  // waits for its new parent
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT p.id || t.id || t.p || g.id FROM p, t, g"), "zbzc");
}

TEST_F(SinkCascades, ATreeOfOneTableGoesAtOnceAndInParts) {
  make(
      "CREATE TABLE n (a int, b text, up_a int, up_b text, PRIMARY KEY (a, b),"
      " FOREIGN KEY (up_a, up_b) REFERENCES n ON DELETE CASCADE)");
  for (const bool in_parts : {false, true}) {
    upsert("n", {"1", "x", std::nullopt, std::nullopt});
    upsert("n", {"2", "x", "1", "x"});
    upsert("n", {"3", "x", "2", "x"});
    EXPECT_THAT(commit(), IsEmpty());
    remove("n", {"1", "x"});
    if (in_parts) apply();
    remove("n", {"2", "x"});
    if (in_parts) apply();
    remove("n", {"3", "x"});
    EXPECT_THAT(commit(), IsEmpty());
    EXPECT_EQ(sql("SELECT count(*) FROM n"), "0");
  }
}

TEST_F(SinkCascades, RowsThatReferToEachOtherGo) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY, q text);"
      "CREATE TABLE q (id text PRIMARY KEY, p text REFERENCES p ON DELETE CASCADE);"
      "ALTER TABLE p ADD FOREIGN KEY (q) REFERENCES q ON DELETE CASCADE;"
      "CREATE TABLE r (id text PRIMARY KEY, s text);"
      "CREATE TABLE s (id text PRIMARY KEY, r text NOT NULL REFERENCES r);"
      "ALTER TABLE r ADD FOREIGN KEY (s) REFERENCES s");
  upsert("p", {"1", "2"});
  upsert("q", {"2", "1"});
  upsert("r", {"1", "2"});
  upsert("s", {"2", "1"});
  EXPECT_THAT(commit(), IsEmpty());
  for (const char* name : {"p", "r"}) remove(name, {"1"});
  for (const char* name : {"q", "s"}) remove(name, {"2"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT (SELECT count(*) FROM p) + (SELECT count(*) FROM q) +"
                " (SELECT count(*) FROM r) + (SELECT count(*) FROM s)"),
            "0");
}

// A delete may have to wait: for the row of the default, or for a row that refers to it elsewhere.
TEST_F(SinkCascades, WhatADeleteThatWaitedChangesIsPutBack) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY);"
      "CREATE TABLE t (id text PRIMARY KEY, p text DEFAULT 'late' REFERENCES p ON DELETE SET"
      " DEFAULT);"
      "CREATE TABLE n (id text PRIMARY KEY, p text REFERENCES p ON DELETE SET NULL);"
      "CREATE TABLE r (id text PRIMARY KEY, p text REFERENCES p)");
  upsert("p", {"a"});
  for (const char* name : {"t", "n", "r"}) upsert(name, {"1", "a"});
  EXPECT_THAT(commit(), IsEmpty());
  remove("p", {"a"});
  upsert("t", {"1", "a"});  // orphans, which the old store keeps
  upsert("n", {"1", "a"});
  apply();
  upsert("p", {"late"});
  remove("r", {"1"});
  const auto rejects = commit();
  ASSERT_EQ(rejects.size(), 2u);
  for (const Reject& reject : rejects) {
    EXPECT_EQ(reject.key, R"(["1"])");
    EXPECT_THAT(reject.reason, HasSubstr("is not present in table"));
  }
  EXPECT_EQ(sql("SELECT count(*) FROM p"), "1");
}

TEST_F(SinkCascades, WhatIsPutBackIsTheLastOfItsKey) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY);"
      "CREATE TABLE t (id text PRIMARY KEY, p text REFERENCES p ON DELETE SET NULL, c int);"
      "CREATE TABLE r (id text PRIMARY KEY, p text REFERENCES p)");
  upsert("p", {"a"});
  upsert("p", {"b"});
  for (const char* id : {"1", "2"}) upsert("t", {id, "a", "1"});
  upsert("r", {"1", "a"});
  EXPECT_THAT(commit(), IsEmpty());
  remove("p", {"a"});
  for (const char* id : {"1", "2", "3"}) upsert("t", {id, "b", "2"});
  apply();
  upsert("t", {"1", "b", "3"});
  remove("t", {"2"});
  remove("r", {"1"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT string_agg(id || p || c, ' ' ORDER BY id) FROM t"), "1b3 3b2");
}

// One that waits itself, for a unique value, while the delete waits for another row.
TEST_F(SinkCascades, WhoWaitedIsPutBackAfterTheDeleteToo) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY);"
      "CREATE TABLE t (id text PRIMARY KEY, p text REFERENCES p ON DELETE SET NULL, u int UNIQUE);"
      "CREATE TABLE r (id text PRIMARY KEY, p text REFERENCES p)");
  upsert("p", {"a"});
  upsert("t", {"1", "a", "1"});
  upsert("t", {"2", std::nullopt, "2"});
  upsert("r", {"1", "a"});
  EXPECT_THAT(commit(), IsEmpty());
  upsert("t", {"1", "a", "2"});
  remove("p", {"a"});
  remove("r", {"1"});
  upsert("t", {"2", std::nullopt, "3"});
  const auto rejects = commit();
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_EQ(rejects[0].key, R"(["1"])");
  EXPECT_EQ(sql("SELECT count(*) FROM p"), "0");
}

// A chunk of several rounds may have one row twice: the second time it waits.
TEST_F(SinkCascades, WhatIsPutBackIsNotOlderThanWhatWaited) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY);"
      "CREATE TABLE t (id text PRIMARY KEY, p text REFERENCES p ON DELETE SET NULL, u int UNIQUE);"
      "CREATE TABLE r (id text PRIMARY KEY, p text REFERENCES p)");
  for (const char* id : {"a", "b"}) upsert("p", {id});
  upsert("t", {"1", "a", "1"});
  upsert("t", {"2", "b", "2"});
  upsert("r", {"1", "a"});
  EXPECT_THAT(commit(), IsEmpty());
  remove("p", {"a"});  // waits for r
  upsert("t", {"1", "b", "7"});
  upsert("t", {"1", "b", "2"});  // waits for the other's value
  apply();
  remove("r", {"1"});
  upsert("t", {"2", "b", "3"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT string_agg(id || p || u, ' ' ORDER BY id) FROM t"), "1b2 2b3");
  EXPECT_EQ(sql("SELECT count(*) FROM p"), "1");
}

// The delete that waited, and was the reason to note rows, is replaced; another one comes later.
TEST_F(SinkCascades, WhatIsPutBackIsNotOlderThanWhatCameWhileNothingWaited) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY);"
      "CREATE TABLE t (id text PRIMARY KEY, p text REFERENCES p ON DELETE SET NULL, c int);"
      "CREATE TABLE r (id text PRIMARY KEY, p text REFERENCES p)");
  for (const char* id : {"a", "b"}) upsert("p", {id});
  upsert("t", {"1", "a", "1"});
  for (const char* id : {"a", "b"}) upsert("r", {id, id});
  EXPECT_THAT(commit(), IsEmpty());
  remove("p", {"a"});  // waits for r
  upsert("t", {"1", "b", "2"});
  apply();
  upsert("p", {"a"});  // it does not go after all
  upsert("t", {"1", "a", "3"});
  apply();
  remove("p", {"b"});  // waits for r
  apply();
  remove("r", {"b"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT string_agg(id || p || c, ' ' ORDER BY id) FROM t"), "1a3");
}

TEST_F(SinkCascades, WhatNoMappingNamesIsLeftToTheCascade) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY);"
      "CREATE TABLE own (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
      " p text REFERENCES p ON DELETE CASCADE)");
  table("own").only = Only::kPostgres;
  sink_ = open_sink();
  sink_->applied();
  upsert("p", {"a"});
  commit();
  sql("SET switchback.applying = 'on'; INSERT INTO own (p) VALUES ('a')");
  remove("p", {"a"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT count(*) FROM own"), "0");
}

}  // namespace
}  // namespace switchback
