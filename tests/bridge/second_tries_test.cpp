#include "bridge/second_tries.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <utility>

#include "bridge/repair_rows.h"
#include "state/base/error.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

using std::chrono::seconds;

// A primary with children 1, 2, … of parent 100 + their number, which refers to them in turn if the
// mapping says so; some of them are gone.
class Primary : public RowReader {
 public:
  explicit Primary(const std::set<std::int64_t>& gone) : gone_(gone) {}
  Window scan(TableId, ScanCursor&, Chunk&) override { return {}; }
  Window fetch(TableId table, const Chunk& keys, Chunk& out) override {
    for (const Change& change : keys.changes()) {
      const std::int64_t id = keys.row(change)[0].i;
      out.add(Cell::integer(id));
      if (gone_.contains(id)) {
        out.end_delete(table);
        continue;
      }
      out.add(Cell::integer(table == kChild ? 100 + id : id - 100));
      out.add(Cell::null());
      out.end_upsert(table);
    }
    return {};
  }
  std::uint64_t estimate(TableId) override { return 0; }

 private:
  const std::set<std::int64_t>& gone_;
};

// Refuses children whose parent it has not, and deletes of parents that are in use. Those that
// `hang_together` it takes if they come all at once, and else none of them.
class Target : public ChangeSink {
 public:
  Position applied() override { return {}; }
  void apply(const Chunk& chunk, std::vector<Reject>& rejects) override {
    ++tries;
    const bool all = !hang_together.empty() && chunk.changes().size() >= hang_together.size();
    for (const Change& change : chunk.changes()) {
      const auto row = chunk.row(change);
      const bool orphan =
          change.table == kChild && change.op == Op::kUpsert && !parents.contains(row[1].i);
      const bool in_use =
          change.table == kParent && change.op == Op::kDelete && used.contains(row[0].i);
      const bool alone = !all && hang_together.contains({change.table, row[0].i});
      if (hang_together.empty() ? orphan || in_use : alone) {
        rejects.push_back({change.table, key_text(chunk, row.first(1)), "no", "23503"});
      }
    }
    if (const auto child = std::exchange(leaves_behind, std::nullopt)) {
      rejects.push_back({kChild, "[\"" + std::to_string(*child) + "\"]", "left behind", "23503"});
    }
  }
  void commit(const Position&, std::span<const Reject>) override {}
  void rollback() noexcept override {}
  Position durable() override { return {}; }
  std::uint64_t quarantined() override { return 0; }

  std::set<std::int64_t> parents, used;
  std::set<std::pair<TableId, std::int64_t>> hang_together;
  std::optional<std::int64_t> leaves_behind;  // a child, by the next apply
  int tries = 0;
};

class SecondTriesTest : public testing::Test {
 protected:
  std::set<std::int64_t> gone_;
  Target target_;
  Deadline::Clock::time_point now_ = Deadline::Clock::now();

  static QuarantineEntry entry(TableId table, std::int64_t id, std::string sqlstate) {
    return {table, "", "[\"" + std::to_string(id) + "\"]", "", std::move(sqlstate), "", false};
  }
  static std::shared_ptr<const Mapping> with_circles() {
    auto mapping = std::make_shared<Mapping>(*test_mapping());
    mapping->tables[index(kParent)].foreign_keys = {
        {.name = "back", .columns = {1}, .parent = kChild, .parent_columns = {0}}};
    return mapping;
  }
  static void refuse(SecondTries& tries, TableId table, std::int64_t id) {
    const Reject refused{table, "[\"" + std::to_string(id) + "\"]", "no", "23503"};
    tries.note_rejected({&refused, 1});
  }
  SecondTries with(const std::vector<QuarantineEntry>& entries) {
    return SecondTries(test_mapping(), entries);
  }
  /// How many rounds come now, a day being long enough for every pause; and what they bring.
  std::size_t all_rounds(SecondTries& tries, int& rounds) {
    std::size_t done = 0;
    for (rounds = 0; tries.due(now_ += std::chrono::hours(24)); ++rounds) {
      done += tries.try_some(
          {}, [&] { return std::make_unique<Primary>(gone_); }, target_);
      if (rounds > 100) throw std::runtime_error("it tries for ever");
    }
    return done;
  }
  static Chunk one(TableId table, std::int64_t id, Op op) {
    Chunk chunk;
    chunk.add(Cell::integer(id));
    if (op == Op::kUpsert && table == kChild) chunk.add(Cell::integer(100 + id));
    op == Op::kUpsert ? chunk.end_upsert(table) : chunk.end_delete(table);
    return chunk;
  }
};

TEST_F(SecondTriesTest, AnOrphanIsTriedOnceAndThenWhenItsParentArrives) {
  SecondTries tries = with({entry(kChild, 1, "23503"), entry(kChild, 2, "23503")});
  int rounds = 0;
  EXPECT_EQ(all_rounds(tries, rounds), 0u);
  EXPECT_EQ(rounds, 1);
  for (int id = 200; id < 300; ++id) tries.note_applied(one(kParent, id, Op::kUpsert));
  EXPECT_EQ(all_rounds(tries, rounds), 0u);
  EXPECT_EQ(rounds, 0) << "none of these is its parent";
  target_.parents = {102};
  tries.note_applied(one(kParent, 102, Op::kUpsert));
  EXPECT_EQ(all_rounds(tries, rounds), 1u);
  EXPECT_EQ(rounds, 1);
}

TEST_F(SecondTriesTest, WhatATryLeavesBehindIsTriedAsWell) {
  SecondTries tries = with({entry(kChild, 1, "23503")});
  target_.parents = {101, 102};
  target_.leaves_behind = 2;
  int rounds = 0;
  EXPECT_EQ(all_rounds(tries, rounds), 2u);
  EXPECT_EQ(rounds, 2);
}

// As in a document, where a row is inside of another by its place alone.
TEST_F(SecondTriesTest, AnOrphanWhoseParentNoKeyTellsIsTriedAfterAnyChange) {
  auto mapping = std::make_shared<Mapping>(*test_mapping());
  mapping->tables[index(kChild)].foreign_keys.clear();
  SecondTries tries(mapping, {entry(kChild, 1, "23503")});
  int rounds = 0;
  EXPECT_EQ(all_rounds(tries, rounds), 0u);
  EXPECT_EQ(rounds, 1);
  target_.parents = {101};
  tries.note_applied(one(kParent, 101, Op::kUpsert));
  EXPECT_EQ(all_rounds(tries, rounds), 1u);
}

TEST_F(SecondTriesTest, ARefusedDeleteWaitsForChangesOfTheTableThatRefersToIt) {
  gone_ = {7};
  target_.used = {7};
  SecondTries tries = with({});
  int rounds = 0;
  refuse(tries, kParent, 7);
  EXPECT_EQ(all_rounds(tries, rounds), 0u);
  tries.note_applied(one(kParent, 8, Op::kUpsert));
  EXPECT_EQ(all_rounds(tries, rounds), 0u);
  EXPECT_EQ(rounds, 0);
  target_.used.clear();
  tries.note_applied(one(kChild, 1, Op::kDelete));
  EXPECT_EQ(all_rounds(tries, rounds), 1u);
}

TEST_F(SecondTriesTest, RowsThatReferToEachOtherAreTriedTogetherOnce) {
  for (const bool fit : {true, false}) {
    SecondTries tries(with_circles(), {});
    target_.hang_together = {{kChild, 1}, {kParent, 101}};
    if (!fit) target_.hang_together.insert({kParent, 102});
    int rounds = 0;
    refuse(tries, kChild, 1);
    EXPECT_EQ(all_rounds(tries, rounds), 0u);
    EXPECT_EQ(rounds, 1);
    refuse(tries, kParent, 101);
    EXPECT_EQ(all_rounds(tries, rounds), fit ? 2u : 0u);
    EXPECT_EQ(rounds, 2);
  }
}

TEST_F(SecondTriesTest, DeletesThatAreInEachOthersWayAreTriedTogetherOnce) {
  gone_ = {1, 101};
  for (const bool fit : {true, false}) {
    SecondTries tries(with_circles(), {});
    target_.hang_together = {{kChild, 1}, {kParent, 101}};
    if (!fit) target_.hang_together.insert({kParent, 102});
    int rounds = 0;
    refuse(tries, kChild, 1);
    EXPECT_EQ(all_rounds(tries, rounds), 0u);
    refuse(tries, kParent, 101);
    EXPECT_EQ(all_rounds(tries, rounds), fit ? 2u : 0u);
    EXPECT_EQ(rounds, 2);
  }
}

TEST_F(SecondTriesTest, WhatNoOtherRowIsTheCauseOfIsLeftAlone) {
  QuarantineEntry accepted = entry(kChild, 1, "23503");
  accepted.accepted = true;
  SecondTries tries = with({entry(kChild, 2, "23514"), entry(kParent, 3, "22P02"), accepted});
  QuarantineEntry not_kept = entry(kChild, 5, "");
  not_kept.reason = std::string(kNotKept) + "qty: 'abc' is no number";
  EXPECT_FALSE(with({not_kept}).due(now_ + std::chrono::hours(1)));
  const Reject refused{kChild, R"(["4"])", "no", "23502"};
  tries.note_rejected({&refused, 1});
  EXPECT_FALSE(tries.due(now_ + std::chrono::hours(1)));
}

TEST_F(SecondTriesTest, ManyAreTriedInRoundsWithPausesBetween) {
  std::vector<QuarantineEntry> entries;
  for (int id = 0; id < 1000; ++id) entries.push_back(entry(kChild, id, "23503"));
  SecondTries tries = with(entries);
  ASSERT_TRUE(tries.due(now_));
  tries.try_some(
      {}, [&] { return std::make_unique<Primary>(gone_); }, target_);
  EXPECT_FALSE(tries.due(now_ + std::chrono::milliseconds(900)));
  int rounds = 0;
  all_rounds(tries, rounds);
  EXPECT_EQ(rounds, 15);
}

TEST_F(SecondTriesTest, APrimaryThatCannotBeReadIsAskedAgainLater) {
  target_.parents = {101};
  SecondTries tries = with({entry(kChild, 1, "23503")});
  ASSERT_TRUE(tries.due(now_));
  const auto fails = []() -> std::unique_ptr<RowReader> {
    throw Error(ErrorKind::kBusy, Retry::kLater, "not now");
  };
  EXPECT_EQ(tries.try_some({}, fails, target_), 0u);
  EXPECT_EQ(target_.tries, 0);
  int rounds = 0;
  EXPECT_EQ(all_rounds(tries, rounds), 1u);
}

}  // namespace
}  // namespace switchback
