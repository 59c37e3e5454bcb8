#include "watchers/sqlite/sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "state/base/deadline.h"
#include "state/base/error.h"
#include "tests/watchers/sqlite/target_fixture.h"

namespace switchback {
namespace {

using namespace std::string_literals;
using std::chrono::seconds;

class SqliteSinkTest : public ::testing::TestWithParam<std::string> {
 protected:
  TargetFixture target_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Modes, SqliteSinkTest, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

constexpr std::int64_t kMidnight = 1'700'006'400'000'000;  // 2023-11-15 00:00:00

TEST_P(SqliteSinkTest, AppliesInsertUpdateDeleteAndHoldsThePosition) {
  const auto sink = target_.sink();
  EXPECT_EQ(sink->applied(), Position{});
  ChunkHand hand;
  hand.upsert(kPerson, {1_i, "ann"s, true, Json{"{\"a\": 1}"}, At{kMidnight}})
      .upsert(kPerson, {2_i, "bob"s, false, nullptr, nullptr})
      .upsert(kNote, {"x"s, "EN"s, "one"s})
      .upsert(kNote, {"x"s, "EN"s, "two"s})
      .remove(kPerson, {2_i});
  EXPECT_TRUE(apply_batch(*sink, hand.end(7)).empty());
  EXPECT_EQ(target_.ask("SELECT id || name || flag || doc || at || extra FROM person"),
            "1ann1{\"a\": 1}2023-11-15T00:00:00.000Zkept");
  EXPECT_EQ(target_.ask("SELECT body FROM note"), "two");
  EXPECT_EQ(target_.sink()->applied(), (Position{.history = 9, .value = 7}));
  EXPECT_EQ(target_.ask("SELECT count(*) FROM _switchback_log"), "1") << "an echo";
}

TEST_P(SqliteSinkTest, LeavesCellsThatMeanTheSameByteForByte) {
  target_.application()->exec(
      "INSERT INTO person VALUES (1, 'ann', 'TRUE', '{ \"b\":2, \"a\":1.0 }',"
      " 'Wed Nov 15 00:00:00 +0000 2023', x'00ff')");
  const auto spelled =
      "SELECT typeof(name)||hex(name)||typeof(flag)||hex(flag)||typeof(doc)||hex(doc)"
      "||typeof(at)||hex(at)||typeof(extra)||hex(extra) FROM person";
  const std::string before = target_.ask(spelled);
  const auto sink = target_.sink();
  sink->applied();
  const auto version = target_.ask("PRAGMA data_version");
  ChunkHand same;
  same.upsert(kPerson, {1_i, "ann"s, true, Json{"{\"a\": 1.0, \"b\": 2}"}, At{kMidnight}});
  apply_batch(*sink, same.end(1));
  EXPECT_EQ(target_.ask(spelled), before);

  ChunkHand other;
  other.upsert(kPerson, {1_i, "ann"s, false, Unchanged{}, At{kMidnight + 1'000'000}});
  apply_batch(*sink, other.end(2));
  EXPECT_EQ(target_.ask("SELECT flag || at || doc || hex(extra) FROM person"),
            "FALSEWed Nov 15 00:00:01 +0000 2023{ \"b\":2, \"a\":1.0 }00FF")
      << "not in the spelling that was there";
}

TEST_P(SqliteSinkTest, RepeatedBatchIsHarmless) {
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand first;
  first.upsert(kPerson, {1_i, "ann"s, true, nullptr, nullptr})
      .upsert(kNote, {"a"s, "en"s, "text"s});
  apply_batch(*sink, first.end(1));
  ChunkHand batch;
  batch.rename(kPerson, {1_i}, {5_i, "ann"s, true, Unchanged{}, nullptr})
      .rename(kNote, {"a"s, "en"s}, {"a"s, "EN"s, Unchanged{}})
      .upsert(kPerson, {2_i, "bob"s, true, nullptr, nullptr})
      .remove(kPerson, {7_i});
  const Chunk& chunk = batch.end(2);
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(apply_batch(*sink, chunk).empty()) << "round " << round;
    EXPECT_EQ(target_.ask("SELECT id || name || extra FROM person ORDER BY id"),
              "2bobkept 5annkept");
    EXPECT_EQ(target_.ask("SELECT code || lang || body FROM note"), "aENtext");
  }
}

TEST_P(SqliteSinkTest, KeysThatDifferInCaseOnlyAreTwoKeys) {
  target_.application()->exec("INSERT INTO note VALUES ('x', 'en', 'old')");
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand hand;
  hand.upsert(kNote, {"x"s, "EN"s, "new"s});
  const auto rejects = apply_batch(*sink, hand.end(1));
  ASSERT_EQ(rejects.size(), 1u) << "SQLite's own key holds only one of the two";
  EXPECT_EQ(rejects[0].key, "[\"x\",\"EN\"]");
  EXPECT_EQ(target_.ask("SELECT lang || body FROM note"), "enold");
}

TEST_P(SqliteSinkTest, RowsThatExchangeUniqueValuesGetThem) {
  target_.application()->exec(
      "INSERT INTO person(id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')");
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand hand;
  // A chain in the wrong order (3 waits for 4), and a circle of 1 and 2.
  hand.upsert(kPerson, {3_i, "d"s, nullptr, nullptr, nullptr})
      .upsert(kPerson, {4_i, "e"s, nullptr, nullptr, nullptr})
      .upsert(kPerson, {1_i, "b"s, nullptr, nullptr, nullptr})
      .upsert(kPerson, {2_i, "a"s, nullptr, nullptr, nullptr});
  EXPECT_TRUE(apply_batch(*sink, hand.end(1)).empty());
  EXPECT_EQ(target_.ask("SELECT id || name || extra FROM person ORDER BY id"),
            "1bkept 2akept 3dkept 4ekept");
}

TEST_P(SqliteSinkTest, WhatIsRefusedGoesToQuarantineAndTheRestFlows) {
  target_.application()->exec("INSERT INTO person(id, name) VALUES (1, 'taken')");
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand hand;
  hand.upsert(kPerson, {2_i, "taken"s, nullptr, nullptr, nullptr})
      .upsert(kNote, {"a"s, "en"s, "bad"s})
      .upsert(kNote, {"b"s, "en"s, nullptr})
      .upsert(kNote, {"c"s, "en"s, Unchanged{}})
      .misfit(kNote, {"d"s, "en"s}, "does not fit")
      .upsert(kNote, {"e"s, "en"s, "good"s});
  EXPECT_EQ(apply_batch(*sink, hand.end(1)).size(), 5u);
  EXPECT_EQ(sink->quarantined(), 5u);
  EXPECT_EQ(
      target_.ask("SELECT tbl || key FROM _switchback_quarantine ORDER BY 1"),
      "note[\"a\",\"en\"] note[\"b\",\"en\"] note[\"c\",\"en\"] note[\"d\",\"en\"] person[\"2\"]");
  EXPECT_EQ(target_.ask("SELECT body FROM note"), "good");

  ChunkHand better;
  better.upsert(kPerson, {2_i, "free"s, nullptr, nullptr, nullptr})
      .remove(kNote, {"a"s, "en"s})
      .upsert(kNote, {"b"s, "en"s, "bad"s})
      .upsert(kNote, {"b"s, "en"s, "fine"s});
  EXPECT_TRUE(apply_batch(*sink, better.end(2)).empty()) << "a later change supersedes";
  EXPECT_EQ(sink->quarantined(), 2u);
  EXPECT_EQ(target_.sink()->applied().value, 2u);
}

TEST_P(SqliteSinkTest, LaterChangeOfAWaitingRowIsNotOvertaken) {
  target_.application()->exec("INSERT INTO person(id, name) VALUES (1, 'a'), (2, 'b')");
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand hand;
  hand.upsert(kPerson, {1_i, "b"s, nullptr, nullptr, nullptr})  // waits for 2
      .upsert(kPerson, {1_i, "z"s, nullptr, nullptr, nullptr})
      .upsert(kPerson, {2_i, "c"s, nullptr, nullptr, nullptr});
  EXPECT_TRUE(apply_batch(*sink, hand.end(1)).empty());
  EXPECT_EQ(target_.ask("SELECT name FROM person ORDER BY id"), "z c");
}

TEST_P(SqliteSinkTest, TruncateEmptiesATable) {
  target_.application()->exec("INSERT INTO person(id, name) VALUES (1, 'a'), (2, 'b')");
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand hand;
  hand.truncate(kPerson).upsert(kPerson, {3_i, "a"s, nullptr, nullptr, nullptr});
  EXPECT_TRUE(apply_batch(*sink, hand.end(1)).empty());
  EXPECT_EQ(target_.ask("SELECT id FROM person"), "3");
}

TEST_P(SqliteSinkTest, BatchOfSeveralChunksAppearsAtOnce) {
  const auto sink = target_.sink();
  sink->applied();
  std::vector<Reject> rejects;
  ChunkHand first;
  first.upsert(kPerson, {1_i, "a"s, nullptr, nullptr, nullptr});
  ChunkHand last;
  last.upsert(kPerson, {1_i, "b"s, nullptr, nullptr, nullptr});
  sink->apply(first.unfinished(), rejects);
  EXPECT_EQ(target_.ask("SELECT count(*) FROM person"), "0");
  sink->rollback();
  sink->apply(first.unfinished(), rejects);
  sink->apply(last.end(1), rejects);
  EXPECT_EQ(target_.ask("SELECT count(*) FROM person"), "0");
  sink->commit({.history = 9, .value = 1}, rejects);
  EXPECT_EQ(target_.ask("SELECT name FROM person"), "b");
}

TEST_P(SqliteSinkTest, DurableFollows) {
  const auto sink = target_.sink();
  EXPECT_EQ(sink->durable(), sink->applied());
  for (std::uint64_t round = 1; round <= 50; ++round) {
    ChunkHand hand;
    hand.upsert(kPerson, {static_cast<std::int64_t>(round), "p"s + std::to_string(round), nullptr,
                          nullptr, nullptr});
    apply_batch(*sink, hand.end(round));
    EXPECT_LE(sink->durable().value, round);
  }
  const auto deadline = Deadline::in(seconds(10));
  while (sink->durable().value != 50 && !deadline.passed()) std::this_thread::yield();
  EXPECT_EQ(sink->durable().value, 50u);
}

TEST_P(SqliteSinkTest, AnotherBridgeIsRefused) {
  target_.application()->exec("UPDATE _switchback_meta SET value = 'other' WHERE name = 'bridge'");
  EXPECT_THROW(target_.sink()->applied(), Error);
}

// The position and the rows are one: whenever the process is killed, the rows are those of the
// position.
TEST_P(SqliteSinkTest, KilledAnywhereRowsAndPositionAgree) {
  for (int round = 0; round < 5; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto sink = target_.sink();
      for (std::uint64_t at = sink->applied().value + 1;; ++at) {
        ChunkHand hand;
        const auto n = static_cast<std::int64_t>(at);
        hand.upsert(kPerson, {1_i, std::to_string(at), nullptr, nullptr, nullptr})
            .upsert(kPerson, {n + 10, nullptr, nullptr, nullptr, nullptr});
        apply_batch(*sink, hand.end(at));
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(60 + 17 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const auto position = target_.sink()->applied().value;
    // On a slow machine the first one may be killed before it has done anything.
    EXPECT_EQ(target_.ask("SELECT name FROM person WHERE id = 1"),
              position == 0 ? "" : std::to_string(position));
    EXPECT_EQ(target_.ask("SELECT count(*) FROM person WHERE id > 10"), std::to_string(position));
  }
}

TEST(SqliteSinkRollbackJournal, ReaderInTheWayIsBusyAndNothingChanged) {
  const TargetFixture target("delete");
  const auto sink = target.sink();
  sink->applied();
  const auto reader = target.application();
  ChunkHand hand;
  hand.upsert(kPerson, {1_i, "a"s, nullptr, nullptr, nullptr});
  const Chunk& chunk = hand.end(1);
  reader->exec("BEGIN; SELECT count(*) FROM person");
  try {
    apply_batch(*sink, chunk);
    FAIL() << "committed past an open reader";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBusy);
    EXPECT_EQ(error.retry(), Retry::kLater);
  }
  sink->rollback();
  reader->exec("COMMIT");
  EXPECT_EQ(target.ask("SELECT count(*) FROM person"), "0");
  EXPECT_TRUE(apply_batch(*sink, chunk).empty());
  EXPECT_EQ(target.ask("SELECT count(*) FROM person"), "1");
}

}  // namespace
}  // namespace switchback
