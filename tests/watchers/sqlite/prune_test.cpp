#include "watchers/sqlite/prune.h"

#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "state/base/error.h"
#include "tests/watchers/sqlite/store_fixture.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

class PruneTest : public ::testing::TestWithParam<const char*> {
 protected:
  std::int64_t entries() { return store_.number("SELECT count(*) FROM _switchback_log"); }
  bool wal() { return in_wal_mode(store_.application()); }

  StoreFixture store_{GetParam(), test_mapping(), kTestSqliteSchema};
};

TEST_P(PruneTest, KeepsTheAcknowledgedEntry) {
  store_.insert_parents(500);
  const LogMark acknowledged = store_.log_end();
  store_.insert_parents(3);
  const LogMark last = store_.log_end();
  const PruneLimits limits{.least_entries = 100, .most_entries = 300, .wal_time = seconds(10)};
  const auto prune = [&] { return prune_log(store_.path(), acknowledged, limits).value(); };
  const Pruned first = prune();
  EXPECT_EQ(std::pair(first.gone, first.left), std::pair(300L, 200L));
  const Pruned second = prune();
  EXPECT_EQ(std::pair(second.gone, second.left), std::pair(200L, 0L));
  EXPECT_EQ(prune().gone, 0);
  EXPECT_EQ(entries(), 4);
  LogReader log(store_.application(), *store_.mapping(), "app");
  EXPECT_NO_THROW(log.require(acknowledged));
  EXPECT_EQ(log.last(), last);
  EXPECT_THROW(log.install_entry(), Error);
}

TEST_P(PruneTest, TakesLittleTimeWhereWritersWouldFail) {
  store_.insert_parents(2'000);
  const LogMark mark = store_.log_end();
  PruneLimits limits{.least_entries = 100, .wal_time = seconds(0)};
  std::int64_t prunes = 0, left = 1;
  while (left > 0) {
    const auto pruned = prune_log(store_.path(), mark, limits);
    ASSERT_GT(pruned.value().gone, 0);
    left = pruned->left;
    limits.least_entries = 1;
    ++prunes;
  }
  EXPECT_EQ(prunes, wal() ? 20 : 1);
  EXPECT_EQ(entries(), 1);
}

TEST_P(PruneTest, FewEntriesStay) {
  store_.insert_parents(50);
  EXPECT_EQ(
      prune_log(store_.path(), store_.log_end(), {.least_entries = 100, .most_entries = 300})->gone,
      0);
  EXPECT_EQ(entries(), 51);
}

TEST_P(PruneTest, AnotherHistoryStays) {
  store_.insert_parents(500);
  LogMark other = store_.log_end();
  other.nonce ^= 1;
  EXPECT_EQ(prune_log(store_.path(), other, {.least_entries = 100, .most_entries = 300})->gone, 0);
  EXPECT_EQ(entries(), 501);
}

TEST_P(PruneTest, GivesWayToAWriterAtOnce) {
  store_.insert_parents(500);
  const LogMark mark = store_.log_end();
  store_.exec("BEGIN IMMEDIATE");
  const auto began = Clock::now();
  EXPECT_FALSE(prune_log(store_.path(), mark, {.least_entries = 100, .most_entries = 300}));
  EXPECT_LT(Clock::now() - began, milliseconds(500));
  store_.exec("ROLLBACK");
  EXPECT_EQ(entries(), 501);
}

TEST_P(PruneTest, LooksForAPauseWhereWritersWouldFail) {
  const milliseconds within = wal() ? milliseconds(200) : milliseconds(60'000);
  store_.insert_parents(200);
  const LogMark mark = store_.log_end();
  const PruneLimits limits{.least_entries = 100, .wal_time = seconds(10), .pause_within = within};
  const auto began = Clock::now();
  const auto pruned = prune_log(store_.path(), mark, limits);
  EXPECT_EQ(pruned.value().gone, 200) << "nobody came, and it gave up";
  EXPECT_EQ(Clock::now() - began >= within, wal());
}

INSTANTIATE_TEST_SUITE_P(JournalModes, PruneTest, ::testing::Values("wal", "delete"));

}  // namespace
}  // namespace switchback
