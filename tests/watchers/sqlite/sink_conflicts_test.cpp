// Rows that take over each other's keys and unique values within one batch.
#include <gtest/gtest.h>

#include "tests/watchers/sqlite/target_fixture.h"

namespace switchback {
namespace {

using namespace std::string_literals;

std::vector<Value> person(std::int64_t id, const std::string& name) {
  return {id, name, nullptr, nullptr, nullptr};
}

class KeyChanges : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    target_.application()->exec(
        "INSERT INTO person(id, name, extra) VALUES (1, 'a', 'A'), (2, 'b', 'B'), (3, 'c', 'C');"
        "INSERT INTO note VALUES ('x', 'en', 'one'), ('x', 'de', 'two')");
    sink_ = target_.sink();
    sink_->applied();
  }
  std::string people() { return target_.ask("SELECT id || name || extra FROM person ORDER BY id"); }
  ChunkHand& move(ChunkHand& hand, std::int64_t from, std::int64_t to) {
    return hand.rename(kPerson, {from}, {to, Unchanged{}, nullptr, Unchanged{}, nullptr});
  }

  TargetFixture target_{GetParam()};
  std::unique_ptr<ChangeSink> sink_;
};

using Trap04_UniqueSwaps = KeyChanges;

INSTANTIATE_TEST_SUITE_P(Modes, KeyChanges, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

TEST_P(KeyChanges, TwoRowsExchangeTheirKeys) {
  ChunkHand hand;
  move(hand, 1, 2);
  move(hand, 2, 1);
  EXPECT_TRUE(apply_batch(*sink_, hand.end(1)).empty());
  EXPECT_EQ(people(), "1bB 2aA 3cC") << "columns that nobody sent must go along";
}

TEST_P(KeyChanges, AnyOrderOfAChainWillDo) {
  ChunkHand up;
  for (const int id : {1, 2, 3}) move(up, id, id + 1);
  EXPECT_TRUE(apply_batch(*sink_, up.end(1)).empty());
  EXPECT_EQ(people(), "2aA 3bB 4cC");
  ChunkHand down;
  for (const int id : {2, 3, 4}) move(down, id, id - 1);
  EXPECT_TRUE(apply_batch(*sink_, down.end(2)).empty());
  EXPECT_EQ(people(), "1aA 2bB 3cC");
}

TEST_P(KeyChanges, ACircleThatCrossesChunksCloses) {
  std::vector<Reject> rejects;
  ChunkHand first;
  move(first, 1, 2);
  ChunkHand second;
  move(second, 2, 3).upsert(kPerson, person(9, "z"));
  ChunkHand last;
  move(last, 3, 1).upsert(kPerson, person(2, "n"));
  sink_->apply(first.unfinished(), rejects);
  sink_->apply(second.unfinished(), rejects);
  sink_->apply(last.end(1), rejects);
  sink_->commit({.history = 9, .value = 1}, rejects);
  EXPECT_TRUE(rejects.empty());
  EXPECT_EQ(people(), "1cC 2nA 3bB 9zkept");
}

TEST_P(KeyChanges, OneRowMayTakeTheKeyOfOneThatGoes) {
  ChunkHand hand;
  move(hand, 1, 2).remove(kPerson, {2_i});
  EXPECT_TRUE(apply_batch(*sink_, hand.end(1)).empty());
  EXPECT_EQ(people(), "2aA 3cC");
}

TEST_P(KeyChanges, KeysOfSeveralColumnsAndNoRowid) {
  ChunkHand hand;
  hand.rename(kNote, {"x"s, "en"s}, {"x"s, "de"s, Unchanged{}})
      .rename(kNote, {"x"s, "de"s}, {"x"s, "en"s, Unchanged{}});
  EXPECT_TRUE(apply_batch(*sink_, hand.end(1)).empty());
  EXPECT_EQ(target_.ask("SELECT code || lang || body FROM note ORDER BY lang"), "xdeone xentwo");
}

TEST_P(KeyChanges, KeysAndUniqueValuesExchangedAtOnce) {
  ChunkHand hand;
  hand.rename(kPerson, {1_i}, person(2, "b")).rename(kPerson, {2_i}, person(1, "a"));
  EXPECT_TRUE(apply_batch(*sink_, hand.end(1)).empty());
  EXPECT_EQ(people(), "1aB 2bA 3cC");
}

// Row 2 left for 5 long ago, but could not here and stands in quarantine. The row that comes to 2
// now is not to push it anywhere.
TEST_P(KeyChanges, ARowThatDoesNotLeaveIsNotMadeTo) {
  ChunkHand stuck;
  stuck.rename(kPerson, {2_i}, person(5, "c"));
  EXPECT_EQ(apply_batch(*sink_, stuck.end(1)).size(), 2u) << "both its keys are wrong here now";
  ChunkHand hand;
  move(hand, 1, 2).upsert(kPerson, person(8, "h"));
  const auto rejects = apply_batch(*sink_, hand.end(2));
  ASSERT_EQ(rejects.size(), 2u);
  EXPECT_EQ(rejects[0].key, "[\"2\"]");
  EXPECT_EQ(rejects[1].key, "[\"1\"]");
  EXPECT_EQ(people(), "1aA 2bB 3cC 8hkept");
}

// Nothing says so beforehand, but in the end nobody moves row 2: all is as if it had been known.
TEST_P(KeyChanges, WhoWasMovedInVainStandsWhereItWas) {
  std::vector<Reject> rejects;
  ChunkHand first;
  first.upsert(kPerson, person(7, "g"));
  move(first, 1, 2).upsert(kPerson, person(3, "cc"));
  ChunkHand last;
  last.upsert(kPerson, person(8, "h")).upsert(kPerson, person(9, "g"));
  sink_->apply(first.unfinished(), rejects);
  sink_->apply(last.end(1), rejects);
  sink_->commit({.history = 9, .value = 1}, rejects);
  EXPECT_EQ(people(), "1aA 2bB 3ccC 7gkept 8hkept");
  EXPECT_EQ(rejects.size(), 3u) << "both keys of the row that moved, and the second 'g'";
  EXPECT_EQ(sink_->quarantined(), 3u);
}

TEST_P(KeyChanges, ALongChainIsNotSlow) {
  constexpr int kRows = 20'000;
  target_.application()->exec(
      "DELETE FROM person; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i "
      "< 20000) INSERT INTO person(id, name) SELECT i, 'n' || i FROM n");
  ChunkHand hand;
  for (int id = 1; id <= kRows; ++id) move(hand, id, id + 1);
  EXPECT_TRUE(apply_batch(*sink_, hand.end(1)).empty());
  EXPECT_EQ(target_.ask("SELECT min(id) || ' ' || max(id) || ' ' || count(*) FROM person "
                        "WHERE name = 'n' || (id - 1)"),
            "2 20001 20000");
  ChunkHand names;  // and the names, of which each waits for the next
  for (int id = 2; id <= kRows + 1; ++id) {
    names.upsert(kPerson, person(id, "n" + std::to_string(id)));
  }
  EXPECT_TRUE(apply_batch(*sink_, names.end(2)).empty());
  EXPECT_EQ(target_.ask("SELECT count(*) FROM person WHERE name = 'n' || id"), "20000");
}

INSTANTIATE_TEST_SUITE_P(Modes, Trap04_UniqueSwaps, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

TEST_P(Trap04_UniqueSwaps, AChainAndACircleAcrossChunks) {
  std::vector<Reject> rejects;
  ChunkHand first;
  first.upsert(kPerson, person(1, "b")).upsert(kPerson, person(3, "d"));
  ChunkHand last;
  last.upsert(kPerson, person(2, "a"));
  sink_->apply(first.unfinished(), rejects);
  sink_->apply(last.end(1), rejects);
  EXPECT_TRUE(rejects.empty());
  sink_->commit({.history = 9, .value = 1}, rejects);
  EXPECT_EQ(people(), "1bA 2aB 3dC");
}

TEST_P(Trap04_UniqueSwaps, ACircleClosesBesideOneThatCannot) {
  target_.application()->exec("INSERT INTO person(id, name) VALUES (4, 'd'), (5, 'e')");
  ChunkHand hand;
  hand.upsert(kPerson, person(1, "b"))
      .upsert(kPerson, person(2, "a"))
      .upsert(kPerson, person(3, "d"))   // a circle with 4, which …
      .upsert(kPerson, person(4, "e"));  // … wants what 5 keeps
  const auto rejects = apply_batch(*sink_, hand.end(1));
  ASSERT_EQ(rejects.size(), 2u);
  EXPECT_EQ(people(), "1bA 2aB 3cC 4dkept 5ekept");
  EXPECT_NE(rejects[0].reason.find("UNIQUE"), std::string::npos) << rejects[0].reason;
}

TEST_P(Trap04_UniqueSwaps, CircleAfterCircleOfTheSameRows) {
  ChunkHand hand;  // of two transactions that share a batch
  hand.upsert(kPerson, person(1, "b"))
      .upsert(kPerson, person(2, "a"))
      .upsert(kPerson, person(1, "a"))
      .upsert(kPerson, person(3, "b"))
      .upsert(kPerson, person(2, "c"));
  EXPECT_TRUE(apply_batch(*sink_, hand.end(1)).empty());
  EXPECT_EQ(people(), "1aA 2cB 3bC");
}

TEST_P(Trap04_UniqueSwaps, AnyKindOfUniqueIndex) {
  target_.application()->exec(
      "DROP INDEX IF EXISTS none; CREATE UNIQUE INDEX lower ON person(lower(at));"
      "CREATE UNIQUE INDEX part ON person(flag) WHERE flag > 0;"
      "UPDATE person SET at = '2023-11-15T00:00:00.00' || id || 'Z', flag = id = 1");
  ChunkHand hand;
  constexpr std::int64_t kMidnight = 1'700'006'400'000'000;
  hand.upsert(kPerson, {1_i, "a"s, false, nullptr, At{kMidnight + 2000}})
      .upsert(kPerson, {2_i, "b"s, true, nullptr, At{kMidnight + 1000}});
  EXPECT_TRUE(apply_batch(*sink_, hand.end(1)).empty());
  EXPECT_EQ(target_.ask("SELECT id || flag || at FROM person ORDER BY id"),
            "102023-11-15T00:00:00.002Z 212023-11-15T00:00:00.001Z 302023-11-15T00:00:00.003Z");
}

class PartialRows : public KeyChanges {};
INSTANTIATE_TEST_SUITE_P(Modes, PartialRows, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

TEST_P(PartialRows, ARowOfWhichOnlyAPartCameIsAskedFor) {
  ChunkHand hand;
  hand.upsert(kPerson, {1_i, "a"s, true, Unchanged{}, nullptr})
      .rename(kPerson, {70_i}, {7_i, "g"s, true, Unchanged{}, nullptr})
      .upsert(kPerson, {8_i, "h"s, true, Unchanged{}, nullptr});
  const Chunk& chunk = hand.end(1);
  std::vector<Reject> rejects;
  sink_->apply(chunk, rejects);
  EXPECT_EQ(rejects.size(), 2u);
  const Chunk wanted = sink_->wanted_rows();
  ASSERT_EQ(wanted.changes().size(), 2u);
  EXPECT_EQ(wanted.row(wanted.changes()[0])[0].i, 7);
  EXPECT_EQ(wanted.row(wanted.changes()[1])[0].i, 8);
  EXPECT_TRUE(sink_->wanted_rows().empty());

  ChunkHand current;
  current.upsert(kPerson, {7_i, "g"s, true, Json{"{}"}, nullptr}).remove(kPerson, {8_i});
  sink_->apply(current.end(1), rejects);
  EXPECT_TRUE(rejects.empty());
  sink_->commit({.history = 9, .value = 1}, rejects);
  EXPECT_EQ(target_.ask("SELECT id || name || coalesce(doc, '-') FROM person ORDER BY id"),
            "1a- 2b- 3c- 7g{}");
}

// What did not change since a refused change is not what SQLite has.
TEST_P(PartialRows, ARowThatWasRefusedAndOfWhichOnlyAPartCameIsAskedFor) {
  for (const bool in_one_batch : {false, true}) {
    ChunkHand hand;
    hand.misfit(kPerson, {1_i}, "does not fit");
    if (!in_one_batch) {
      EXPECT_EQ(apply_batch(*sink_, hand.end(1)).size(), 1u);
    }
    hand.upsert(kPerson, {1_i, "a"s, true, Unchanged{}, nullptr})
        .upsert(kPerson, {2_i, "b"s, true, Unchanged{}, nullptr});
    std::vector<Reject> rejects;
    sink_->apply(hand.end(2), rejects);
    EXPECT_EQ(rejects.size(), 1u);
    const Chunk wanted = sink_->wanted_rows();
    ASSERT_EQ(wanted.changes().size(), 1u);
    EXPECT_EQ(wanted.row(wanted.changes()[0])[0].i, 1);
    ChunkHand current;
    current.upsert(kPerson, {1_i, "a"s, true, Json{"{}"}, nullptr});
    sink_->apply(current.end(2), rejects);
    EXPECT_TRUE(rejects.empty());
    sink_->commit({.history = 9, .value = 2}, rejects);
    EXPECT_EQ(sink_->quarantined(), 0u);
    EXPECT_EQ(target_.ask("SELECT doc FROM person WHERE id = 1"), "{}");
    target_.application()->exec("UPDATE person SET doc = NULL");
  }
}

}  // namespace
}  // namespace switchback
