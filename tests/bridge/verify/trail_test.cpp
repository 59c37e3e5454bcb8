#include "bridge/verify/trail.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/temp_folder.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

Position at(std::uint64_t value, std::uint64_t history = 7) {
  return {history, value, 0};
}

Chunk keys(std::initializer_list<std::int64_t> ids) {
  Chunk chunk;
  for (const std::int64_t id : ids) {
    chunk.add(Cell::integer(id));
    chunk.end_delete(kParent);
  }
  return chunk;
}

class TrailTest : public testing::Test {
 protected:
  /// One whole round; the keys that it was about.
  std::set<std::int64_t> round(Trail& trail, std::vector<Trail::Differs> differing = {},
                               const Chunk& again = {}) {
    std::set<std::int64_t> out;
    if (!trail.begin_round()) return out;
    while (const auto part = trail.next_part()) {
      for (const Change& change : part->keys.changes()) out.insert(part->keys.row(change)[0].i);
      trail.part_done(*part, differing, again);
    }
    trail.end_round();
    return out;
  }
  void apply(Trail& trail, std::initializer_list<std::int64_t> ids, std::uint64_t position) {
    trail.note(keys(ids));
    trail.committed(at(position));
  }

  const test::TempFolder folder_;
  const std::filesystem::path file_ = folder_ / "trail";
};

TEST_F(TrailTest, WhatWasComparedIsOwedNoLonger) {
  Trail trail(file_);
  trail.turn(Side::kPostgres, test_mapping());
  EXPECT_EQ(trail.begin(at(10)), at(10)) << "nothing was owed before";
  apply(trail, {1, 2, 2, 1}, 12);
  EXPECT_EQ(trail.compared(), at(10));
  trail.note(keys({3}));  // of a batch that is not committed yet
  EXPECT_EQ(round(trail), (std::set<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(trail.compared(), at(12));
  EXPECT_EQ(trail.status().owed, 0u);
  EXPECT_EQ(trail.status().compared, 3u) << "each once";
  trail.committed(at(13));
  EXPECT_EQ(trail.compared(), at(13));
}

TEST_F(TrailTest, WhatCouldNotBeJudgedStaysOwed) {
  Trail trail(file_);
  trail.turn(Side::kPostgres, test_mapping());
  trail.begin(at(10));
  apply(trail, {1, 2}, 12);
  round(trail, {}, keys({2}));
  EXPECT_EQ(trail.compared(), at(10));
  EXPECT_EQ(round(trail), (std::set<std::int64_t>{2}));
  EXPECT_EQ(trail.compared(), at(12));
}

TEST_F(TrailTest, TheDebtSurvivesTheProcess) {
  {
    Trail trail(file_);
    trail.turn(Side::kPostgres, test_mapping());
    trail.begin(at(10));
    apply(trail, {1}, 12);
  }
  Trail next(file_);
  next.turn(Side::kPostgres, test_mapping());
  EXPECT_EQ(next.begin(at(12)), at(10)) << "the source is to tell what lies between";
  Trail other_way(file_);
  other_way.turn(Side::kOld, test_mapping());
  EXPECT_EQ(other_way.begin(at(12)), at(12));
}

TEST_F(TrailTest, AnotherHistoryOwesNothing) {
  {
    Trail trail(file_);
    trail.turn(Side::kPostgres, test_mapping());
    trail.begin(at(10));
  }
  Trail next(file_);
  next.turn(Side::kPostgres, test_mapping());
  EXPECT_EQ(next.begin(at(12, 8)), at(12, 8));
}

TEST_F(TrailTest, FromNothingEverythingIsOwed) {
  {
    Trail trail(file_);
    trail.turn(Side::kOld, test_mapping());
    EXPECT_EQ(trail.begin({}), Position{});
    apply(trail, {1}, 12);
    EXPECT_EQ(trail.compared(), Position{});
  }
  Trail next(file_);
  next.turn(Side::kOld, test_mapping());
  EXPECT_EQ(next.begin(at(12)), Position{});
}

TEST_F(TrailTest, APumpThatConnectsAnewOwesWhatItOwed) {
  Trail trail(file_);
  trail.turn(Side::kPostgres, test_mapping());
  trail.begin(at(10));
  apply(trail, {1}, 12);
  round(trail);
  apply(trail, {2}, 14);
  EXPECT_EQ(trail.begin(at(14)), at(12));
  trail.turn(Side::kPostgres, test_mapping());
  EXPECT_EQ(trail.begin(at(14)), at(12));
  EXPECT_EQ(trail.status().owed, 0u) << "the source tells it again";
}

TEST_F(TrailTest, ATooLargeDebtIsDroppedAndSaid) {
  Trail trail(file_, {.bytes = 4096});
  trail.turn(Side::kPostgres, test_mapping());
  trail.begin(at(10));
  for (std::int64_t id = 0; id < 1000; ++id) trail.note(keys({id % 10}));
  EXPECT_EQ(trail.status().dropped, 0u) << "few rows, many changes";
  for (std::int64_t id = 0; id < 1000; ++id) trail.note(keys({id}));
  EXPECT_EQ(trail.status().dropped, 1u);
  EXPECT_FALSE(trail.status().why_dropped.empty());
  EXPECT_EQ(trail.status().owed, 0u);
  trail.committed(at(12));
  EXPECT_EQ(trail.compared(), at(12));
  apply(trail, {1}, 14);
  EXPECT_EQ(trail.status().owed, 1u);
}

TEST_F(TrailTest, AnEmptiedTableAndAnOldDebtAreBlindSpots) {
  Trail trail(file_, {.age = std::chrono::milliseconds(0)});
  trail.turn(Side::kPostgres, test_mapping());
  trail.begin(at(10));
  Chunk emptied;
  emptied.end_truncate(kParent);
  trail.note(emptied);
  trail.committed(at(11));
  EXPECT_EQ(trail.status().dropped, 1u);
  apply(trail, {1}, 12);
  trail.drop_if_old();
  EXPECT_EQ(trail.status().dropped, 2u);
  EXPECT_EQ(trail.compared(), at(12));
}

TEST_F(TrailTest, WhatDiffersIsLookedAtAgainUntilItDoesNot) {
  Trail trail(file_);
  trail.turn(Side::kPostgres, test_mapping());
  trail.begin(at(10));
  apply(trail, {1, 2}, 12);
  round(trail, {{R"(["2"])", "two differs"}});
  EXPECT_EQ(trail.status().found, 1u);
  EXPECT_EQ(trail.status().differing, 1u);
  EXPECT_EQ(trail.status().examples, std::vector<std::string>{"two differs"});
  ASSERT_EQ(trail.outstanding().size(), 1u) << "also under a lock";
  ASSERT_EQ(trail.differing().size(), 1u);
  EXPECT_EQ(trail.part_done(trail.differing().front(), {{R"(["2"])", "two differs"}}, {}), 0u);
  EXPECT_EQ(trail.status().found, 1u) << "the same one";
  trail.part_done(trail.differing().front(), {}, {});
  EXPECT_EQ(trail.status().differing, 0u);
  EXPECT_TRUE(trail.outstanding().empty());
}

}  // namespace
}  // namespace switchback
