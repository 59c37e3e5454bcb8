// What the sink does with rows that the server refuses.
#include <gmock/gmock.h>

#include <map>

#include "replication/sink.h"
#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SinkIsolation : public test::SinkFixture {
 protected:
  /// "key: sqlstate" of each, in the order of their keys.
  static std::string summary(std::vector<Reject> rejects) {
    std::sort(rejects.begin(), rejects.end(),
              [](const Reject& a, const Reject& b) { return a.key < b.key; });
    std::string out;
    for (const Reject& reject : rejects) out += reject.key + ": " + reject.sqlstate + "\n";
    return out;
  }
  std::string entries() {
    return sql("SELECT table_name, key, sqlstate FROM switchback.quarantine ORDER BY 1, 2");
  }
};

TEST_F(SinkIsolation, ThreeOfAHundredAreTurnedAwayWithTheirReasons) {
  make("CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 1000), v varchar(5) UNIQUE)");
  for (int i = 0; i < 100; ++i) {
    const std::string n = std::to_string(i);
    upsert("t", {n, i == 20 ? "5000" : n, i == 40 ? "too long" : i == 99 ? "v1" : "v" + n});
  }
  const auto rejects = commit();
  EXPECT_EQ(summary(rejects), "[\"20\"]: 23514\n[\"40\"]: 22001\n[\"99\"]: 23505\n");
  const std::map<std::string, std::string> words = {
      {"23514", "t_n_check"}, {"23505", "t_v_key"}, {"22001", "too long"}};
  for (const Reject& reject : rejects) {
    EXPECT_THAT(reject.reason, HasSubstr(words.at(reject.sqlstate)));
  }
  EXPECT_EQ(sql("SELECT count(*) FROM t"), "97");
  EXPECT_EQ(entries(), "public.t|[\"20\"]|23514\npublic.t|[\"40\"]|22001\npublic.t|[\"99\"]|23505");
  EXPECT_EQ(sink_->quarantined(), 3u);
  EXPECT_EQ(sink_->applied(), (Position{7, 1, 1}));
}

TEST_F(SinkIsolation, ATurnedAwayRowStaysAsItWasUntilAGoodOneEndsItsQuarantine) {
  make("CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 1000))");
  upsert("t", {"1", "1"});
  upsert("t", {"2", "2"});
  commit();
  upsert("t", {"1", "5000"});
  misfit("t", {"2"}, "text in an INTEGER column");
  const auto rejects = commit();
  ASSERT_EQ(rejects.size(), 2u);
  EXPECT_EQ(rejects[0].reason, "text in an INTEGER column");
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "1|1\n2|2");
  EXPECT_EQ(sink_->quarantined(), 2u);
  sink_.reset();
  sink_ = open_sink();
  sink_->applied();
  EXPECT_EQ(sink_->quarantined(), 2u);
  upsert("t", {"1", "10"});
  commit();
  EXPECT_EQ(entries(), "public.t|[\"2\"]|");
  remove("t", {"2"});
  commit();
  EXPECT_EQ(entries(), "");
  EXPECT_EQ(sink_->quarantined(), 0u);
}

TEST_F(SinkIsolation, RolledBackRejectsLeaveNoEntry) {
  make("CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 1000))");
  upsert("t", {"1", "5000"});
  commit();
  upsert("t", {"1", "5"});
  upsert("t", {"2", "5000"});
  apply();
  sink_->rollback();
  EXPECT_EQ(sink_->quarantined(), 1u);
  EXPECT_EQ(entries(), "public.t|[\"1\"]|23514");
}

TEST_F(SinkIsolation, AValueThatNoTypeHoldsIsTurnedAwayBeforeItIsSent) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text)");
  const std::string nul("a\0b", 3);
  upsert("t", {"1", "good"});
  upsert("t", {"2", nul});
  upsert("t", {"3", "good"});
  const auto rejects = commit();
  EXPECT_EQ(summary(rejects), "[\"2\"]: \n");
  EXPECT_THAT(rejects.at(0).reason, HasSubstr("NUL"));
  EXPECT_EQ(sql("SELECT id FROM t ORDER BY id"), "1\n3");
}

TEST_F(SinkIsolation, BytesThatAreNoTextDoNotStopTheQuarantineItself) {
  make("CREATE TABLE t (id text PRIMARY KEY, v text)");
  upsert("t", {"bad\xff", "x"});
  upsert("t", {std::string(5000, 'k') + "\xc3", "x"});
  upsert("t", {"fine", "x"});
  EXPECT_EQ(commit().size(), 2u);
  EXPECT_EQ(sql("SELECT count(*) FROM switchback.quarantine"), "2");
  EXPECT_EQ(sql("SELECT id FROM t"), "fine");
}

TEST_F(SinkIsolation, AValueTooLargeForAnIndexIsTurnedAway) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE)");
  std::string wide;
  for (int i = 0; i < 4000; ++i) wide += std::to_string(i * 7919 % 100003);
  upsert("t", {"1", "fine"});
  upsert("t", {"2", wide});
  EXPECT_EQ(summary(commit()), "[\"2\"]: 54000\n");
  EXPECT_EQ(sql("SELECT id FROM t"), "1");
}

TEST_F(SinkIsolation, AChainOfUniqueValuesResolves) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE)");
  for (int i = 0; i < 20; ++i) upsert("t", {std::to_string(i), "v" + std::to_string(i)});
  commit();
  // Each takes the value of the next, in the order in which each is refused at first.
  for (int i = 0; i < 20; ++i) upsert("t", {std::to_string(i), "v" + std::to_string(i + 1)});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT v FROM t WHERE id IN (0, 19) ORDER BY id"), "v1\nv20");
}

TEST_F(SinkIsolation, AChainThatCrossesChunksResolvesToo) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE)");
  upsert("t", {"1", "a"});
  upsert("t", {"2", "b"});
  commit();
  upsert("t", {"1", "b"});
  apply();
  EXPECT_EQ(rejects_.size(), 1u);
  upsert("t", {"2", "c"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "1|b\n2|c");
}

TEST_F(SinkIsolation, ALaterChangeOfTheKeyReplacesTheRefusedOne) {
  make("CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 1000))");
  upsert("t", {"1", "5000"});
  upsert("t", {"2", "5000"});
  upsert("t", {"2", "2"});
  apply();
  EXPECT_EQ(summary(rejects_), "[\"1\"]: 23514\n");
  upsert("t", {"1", "1"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "1|1\n2|2");
  EXPECT_EQ(sink_->quarantined(), 0u);
}

using Trap05_Orphans = SinkIsolation;

TEST_F(Trap05_Orphans, WhatADeferredConstraintRefusesIsFoundBeforeCommit) {
  make(
      "CREATE TABLE p (id int PRIMARY KEY);"
      "CREATE TABLE q (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED)");
  for (int i = 0; i < 20; ++i) upsert("q", {std::to_string(i), std::to_string(i)});
  apply();
  for (int i = 0; i < 19; ++i) upsert("p", {std::to_string(i)});
  EXPECT_EQ(summary(commit()), "[\"19\"]: 23503\n");
  EXPECT_EQ(sql("SELECT count(*) FROM q"), "19");
}

TEST_F(Trap05_Orphans, AParentThatComesAfterItsChildIsWaitedFor) {
  make("CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t)");
  upsert("t", {"3", "2"});
  upsert("t", {"2", "1"});
  apply();
  upsert("t", {"1", std::nullopt});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "1|NULL\n2|1\n3|2");
}

constexpr const char* kFamily =
    "CREATE TABLE p (id int PRIMARY KEY);"
    "CREATE TABLE q (id int PRIMARY KEY, a int REFERENCES p, b int REFERENCES p, v text)";

TEST_F(Trap05_Orphans, OrphansAreQuarantinedOrLoseTheirReference) {
  make(kFamily);
  upsert("p", {"1"});
  upsert("q", {"1", "1", "1", "x"});
  upsert("q", {"2", "1", "77", "x"});
  EXPECT_EQ(summary(commit()), "[\"2\"]: 23503\n");
  EXPECT_EQ(entries(), "public.q|[\"2\"]|23503");
  table("q").orphans = Orphans::kNull;
  upsert("q", {"2", "1", "77", "y"});
  upsert("q", {"3", "78", "79", "z"});
  upsert("q", {"4", "1", "1", "fine"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM q ORDER BY id"), "1|1|1|x\n2|1|NULL|y\n3|NULL|NULL|z\n4|1|1|fine");
  EXPECT_EQ(entries(), "");
}

TEST_F(Trap05_Orphans, AParentWithChildrenIsNotDeletedWhateverThePolicy) {
  make(kFamily);
  table("q").orphans = Orphans::kNull;
  upsert("p", {"1"});
  upsert("q", {"1", "1", std::nullopt, "x"});
  commit();
  remove("p", {"1"});
  EXPECT_EQ(summary(commit()), "[\"1\"]: 23503\n");
  EXPECT_EQ(sql("SELECT count(*) FROM p"), "1");
}

TEST_F(Trap05_Orphans, AnOrphanFollowsOnceItsParentComes) {
  make(kFamily);
  upsert("q", {"1", "5", std::nullopt, "x"});
  EXPECT_EQ(summary(commit()), "[\"1\"]: 23503\n");
  upsert("p", {"5"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sink_->quarantined(), 1u) << "nobody spoke of the child";
  upsert("q", {"1", "5", std::nullopt, "x"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sink_->quarantined(), 0u);
}

TEST_F(Trap05_Orphans, AParentGoesOnceItsChildrenWentLaterInTheBatch) {
  make(kFamily);
  for (const char* id : {"1", "2"}) upsert("p", {id});
  for (const char* id : {"1", "2"}) upsert("q", {id, id, std::nullopt, "x"});
  EXPECT_THAT(commit(), IsEmpty());
  remove("p", {"1"});
  remove("p", {"2"});
  apply();
  remove("q", {"1"});
  upsert("q", {"2", std::nullopt, std::nullopt, "x"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT count(*) FROM p"), "0");
  EXPECT_EQ(sql("SELECT id FROM q"), "2");
}

TEST_F(Trap05_Orphans, RowsThatReferToEachOther) {
  make(
      "CREATE TABLE a (id int PRIMARY KEY, b int, c int NOT NULL DEFAULT 0);"
      "CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a);"
      "ALTER TABLE a ADD CONSTRAINT to_b FOREIGN KEY (b) REFERENCES b;"
      "CREATE TABLE self (id int PRIMARY KEY, up int REFERENCES self)");
  upsert("a", {"1", "1", "7"});
  upsert("a", {"2", "9", "7"});  // nobody's 9
  upsert("b", {"1", "1"});
  upsert("self", {"1", "2"});
  upsert("self", {"2", "3"});
  upsert("self", {"3", "1"});
  upsert("self", {"4", "4"});
  upsert("self", {"5", "6"});  // an orphan, and one that hangs on it
  upsert("self", {"7", "5"});
  EXPECT_EQ(summary(commit()), "[\"2\"]: 23503\n[\"5\"]: 23503\n[\"7\"]: 23503\n");
  EXPECT_EQ(sql("SELECT a.id, a.b, a.c, b.a FROM a JOIN b ON b.id = a.b"), "1|1|7|1");
  EXPECT_EQ(sql("SELECT string_agg(id || '-' || up, ' ' ORDER BY id) FROM self"),
            "1-2 2-3 3-1 4-4");
}

TEST_F(SinkIsolation, EverythingRefusedStillMovesThePosition) {
  make("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)");
  for (int i = 0; i < 64; ++i) upsert("t", {std::to_string(i), std::nullopt});
  EXPECT_EQ(commit().size(), 64u);
  EXPECT_EQ(sink_->applied(), (Position{7, 1, 1}));
  EXPECT_EQ(sink_->quarantined(), 64u);
}

}  // namespace
}  // namespace switchback
