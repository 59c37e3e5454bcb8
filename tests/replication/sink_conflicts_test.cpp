// Rows that take over each other's keys and unique values within one batch.
#include <gmock/gmock.h>

#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Trap04_UniqueSwaps : public test::SinkFixture {
 protected:
  /// Rows 1 … n of `name`, with v = a, b, c …
  void fill(const std::string& name, int rows) {
    for (int i = 0; i < rows; ++i) {
      upsert(name, {std::to_string(i + 1), std::string(1, static_cast<char>('a' + i))});
    }
    EXPECT_THAT(commit(), IsEmpty());
  }
};

TEST_F(Trap04_UniqueSwaps, ACircleClosesWhateverTheConstraint) {
  make(
      "CREATE TABLE hard (id int PRIMARY KEY, v text NOT NULL UNIQUE, kept text DEFAULT 'k');"
      "CREATE TABLE soft (id int PRIMARY KEY, v text, UNIQUE (v) DEFERRABLE);"
      "CREATE TABLE short (id int PRIMARY KEY, v varchar(5) NOT NULL UNIQUE);"
      "CREATE TABLE lower (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX ON lower (lower(v));"
      "CREATE TABLE part (id int PRIMARY KEY, v text NOT NULL);"
      "CREATE UNIQUE INDEX ON part (v) WHERE id > 0");
  for (const char* name : {"hard", "soft", "short", "lower", "part"}) {
    auto& columns = table(name).columns;
    if (columns.size() > 2) columns.resize(2);  // nobody maps `kept`
    fill(name, 4);
    upsert(name, {"1", "b"});
    upsert(name, {"2", "c"});
    upsert(name, {"3", "a"});
    EXPECT_THAT(commit(), IsEmpty()) << name;
    EXPECT_EQ(sql(std::string("SELECT string_agg(v, '' ORDER BY id) FROM ") + name), "bcad")
        << name;
  }
  EXPECT_EQ(sql("SELECT count(*) FROM hard WHERE kept = 'k'"), "4");
}

TEST_F(Trap04_UniqueSwaps, ACircleAcrossChunksBesideRowsThatStayStuck) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL UNIQUE)");
  fill("t", 6);
  upsert("t", {"1", "b"});
  upsert("t", {"3", "d"});
  apply();
  upsert("t", {"4", "e"});  // 5 keeps it, so neither 4 nor 3 move
  upsert("t", {"7", "f"});  // a new row, and 6 keeps what it wants
  upsert("t", {"2", "a"});
  const auto rejects = commit();
  EXPECT_EQ(sql("SELECT string_agg(v, '' ORDER BY id) FROM t"), "bacdef");
  ASSERT_EQ(rejects.size(), 3u);
  for (const Reject& reject : rejects) {
    EXPECT_EQ(reject.sqlstate, "23505");
    EXPECT_THAT(reject.reason, HasSubstr("t_v_key"));
  }
}

TEST_F(Trap04_UniqueSwaps, PlacesWithinAParent) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY);"
      "CREATE TABLE loose (id int PRIMARY KEY, parent text NOT NULL REFERENCES p, place int,"
      " UNIQUE (parent, place));"
      "CREATE TABLE strict (id int PRIMARY KEY, parent text NOT NULL REFERENCES p,"
      " place int NOT NULL, UNIQUE (parent, place))");
  upsert("p", {"a"});
  for (const char* name : {"loose", "strict"}) {
    for (int i = 0; i < 5; ++i) upsert(name, {std::to_string(i), "a", std::to_string(i)});
  }
  EXPECT_THAT(commit(), IsEmpty());
  // The last one goes to the second place, and those behind it move on.
  for (const char* name : {"loose", "strict"}) {
    for (int i = 1; i < 5; ++i) upsert(name, {std::to_string(i), "a", std::to_string(i % 4 + 1)});
    EXPECT_THAT(commit(), IsEmpty()) << name;
    EXPECT_EQ(sql(std::string("SELECT string_agg(id::text, '' ORDER BY place) FROM ") + name),
              "04123")
        << name;
  }
}

TEST_F(Trap04_UniqueSwaps, WhereNoValueCanStandInTheCircleIsTurnedAway) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL UNIQUE CHECK (length(v) = 1))");
  fill("t", 2);
  upsert("t", {"1", "b"});
  upsert("t", {"2", "a"});
  upsert("t", {"3", "c"});
  EXPECT_EQ(commit().size(), 2u);
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "1|a\n2|b\n3|c");
  EXPECT_EQ(sink_->quarantined(), 2u);
}

TEST_F(Trap04_UniqueSwaps, AThousandRowsChangePlaces) {
  make("CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL UNIQUE)");
  for (int i = 0; i < 1000; ++i) upsert("t", {std::to_string(i), std::to_string(i)});
  commit();
  for (int i = 0; i < 1000; ++i) upsert("t", {std::to_string(i), std::to_string((i + 1) % 1000)});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT count(*) FROM t WHERE v = (id + 1) % 1000"), "1000");
}

/// A referenced row gets another key, as it comes from a store whose children followed: the old key
/// goes, a new row takes its value, and who refers to it moves.
TEST_F(Trap04_UniqueSwaps, AReferencedRowHandsItsValueToItsNewKey) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY, u int UNIQUE, w text NOT NULL UNIQUE);"
      "CREATE TABLE t (id text PRIMARY KEY, parent text REFERENCES p ON UPDATE CASCADE,"
      " kept text DEFAULT 'k')");
  table("t").columns.resize(2);  // nobody maps `kept`
  upsert("p", {"a", "1", "x"});
  upsert("p", {"c", "3", "y"});
  upsert("t", {"b", "a"});
  upsert("t", {"d", "a"});
  commit();
  sql("SET switchback.applying = 'on'; UPDATE t SET kept = id");
  remove("p", {"a"});
  upsert("p", {"z", "1", "x"});
  upsert("p", {"c", "1", "z"});  // and one that wants what is taken
  upsert("t", {"b", "z"});
  apply();
  upsert("t", {"d", "z"});
  EXPECT_EQ(commit().size(), 1u);
  EXPECT_EQ(sql("SELECT * FROM p ORDER BY 1"), "c|3|y\nz|1|x");
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY 1"), "b|z|b\nd|z|d");
}

TEST_F(Trap04_UniqueSwaps, ARowThatIsStillReferredToKeepsItsValue) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY, u int UNIQUE);"
      "CREATE TABLE t (id text PRIMARY KEY, parent text REFERENCES p)");
  upsert("p", {"a", "1"});
  upsert("t", {"b", "a"});
  upsert("t", {"d", "a"});
  commit();
  remove("p", {"a"});
  upsert("p", {"z", "1"});
  upsert("t", {"b", "z"});
  EXPECT_EQ(commit().size(), 3u);
  EXPECT_EQ(sql("SELECT * FROM p"), "a|1");
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY 1"), "b|a\nd|a");
}

TEST_F(Trap04_UniqueSwaps, NewKeysOfRowsThatReferToEachOther) {
  make(
      "CREATE TABLE p (id text PRIMARY KEY, u int UNIQUE, other text);"
      "CREATE TABLE q (id text PRIMARY KEY, u int UNIQUE, other text REFERENCES p);"
      "ALTER TABLE p ADD FOREIGN KEY (other) REFERENCES q;"
      "CREATE TABLE t (id int PRIMARY KEY, p text REFERENCES p, q text REFERENCES q)");
  upsert("p", {"a", "1", std::nullopt});
  upsert("q", {"b", "1", std::nullopt});
  upsert("t", {"1", "a", "b"});
  commit();
  remove("p", {"a"});
  remove("q", {"b"});
  upsert("p", {"y", "1", "z"});
  upsert("q", {"z", "1", "y"});
  upsert("t", {"1", "y", "z"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT p.*, q.*, t.* FROM p, q, t"), "y|1|z|z|1|y|1|y|z");
}

class KeyChanges : public Trap04_UniqueSwaps {
 protected:
  void make_table(const std::string& rest) {
    make("CREATE TABLE t (id int PRIMARY KEY, v text, kept text)" + rest);
    table("t").columns.resize(2);
    fill("t", 3);
    sql("SET switchback.applying = 'on'; UPDATE t SET kept = upper(v)");
  }
  std::string rows() { return sql("SELECT id || v || kept FROM t ORDER BY id"); }
};

TEST_F(KeyChanges, TwoRowsExchangeTheirKeys) {
  make_table("");
  rename("t", {"1"}, {"2", "a"});
  rename("t", {"2"}, {"1", "<unchanged>"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(rows(), "1bB\n2aA\n3cC");
}

TEST_F(KeyChanges, AnyOrderOfAChainAndACircleWithUniqueValues) {
  make_table("; CREATE UNIQUE INDEX ON t (v)");
  rename("t", {"1"}, {"2", "a"});
  rename("t", {"2"}, {"3", "b"});
  apply();
  rename("t", {"3"}, {"4", "c"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(rows(), "2aA\n3bB\n4cC");
  rename("t", {"2"}, {"3", "b"});
  rename("t", {"3"}, {"4", "c"});
  rename("t", {"4"}, {"2", "a"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(rows(), "2aC\n3bA\n4cB");
}

TEST_F(KeyChanges, ATakenKeyPutsBothKeysIntoQuarantine) {
  make_table("");
  rename("t", {"1"}, {"2", "a"});
  EXPECT_EQ(commit().size(), 2u);
  EXPECT_EQ(rows(), "1aA\n2bB\n3cC");
  EXPECT_EQ(sql("SELECT key FROM switchback.quarantine ORDER BY 1"), "[\"1\"]\n[\"2\"]");
}

}  // namespace
}  // namespace switchback
