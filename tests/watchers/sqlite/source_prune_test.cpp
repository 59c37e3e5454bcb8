#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <thread>

#include "tests/watchers/sqlite/store_fixture.h"
#include "watchers/sqlite/source.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

/// Reads and then writes, again and again, `pause` apart; counts what fails. Runs until join().
class Application {
 public:
  Application(const std::filesystem::path& path, milliseconds pause)
      : thread_(again_and_again(path, pause, [this](SQLite::Database& mine) { once(mine); })) {}
  void join() {
    thread_.request_stop();
    thread_.join();
  }
  std::uint64_t busy() const { return busy_; }
  std::uint64_t busy_commits() const { return busy_commits_; }

 private:
  void once(SQLite::Database& mine) {
    for (const char* sql :
         {"BEGIN", "SELECT name FROM parent", "UPDATE parent SET flag = 1 - flag", "COMMIT"}) {
      const int failed = mine.tryExec(sql);
      if (failed == SQLITE_BUSY && sql[0] == 'C') ++busy_commits_;
      if (failed != SQLITE_OK && failed != SQLITE_ROW) break;
    }
    if (sqlite3_get_autocommit(mine.getHandle()) != 0) return;
    ++busy_;
    mine.tryExec("ROLLBACK");
  }

  std::atomic<std::uint64_t> busy_ = 0, busy_commits_ = 0;
  std::jthread thread_;
};

SqliteSourceLimits prune_often() {
  SqliteSourceLimits limits;
  limits.prune = {.least_entries = 20, .most_entries = 1'000};
  limits.prune_every = milliseconds(150);
  limits.prune_quiet = milliseconds(60'000);
  return limits;
}

class SourcePruneTest : public ::testing::TestWithParam<const char*> {
 protected:
  bool wal() const { return std::string(GetParam()) == "wal"; }
  void start(SqliteSourceLimits limits, Position applied = {}) {
    source_ = open_sqlite_source(store_.path(), store_.mapping(), "app", store_.folder(),
                                 std::move(limits));
    source_->start(applied);
  }
  /// Until it has pruned so often; false if it did not within a minute.
  bool prunes(std::uint64_t times) {
    const Deadline deadline = Deadline::in(std::chrono::seconds(60));
    while (source_->counts().prunes < times) {
      const auto boundary = pull_batch(*source_, replica_, milliseconds(200));
      if (boundary) source_->acknowledge(*boundary);
      source_->idle();
      if (deadline.passed()) return false;
    }
    return true;
  }

  StoreFixture store_{GetParam(), test_mapping(), kTestSqliteSchema};
  Replica replica_{store_.mapping()};
  std::unique_ptr<ChangeSource> source_;
};

TEST_P(SourcePruneTest, WhenDueAndAcknowledged) {
  SqliteSourceLimits limits;
  limits.prune = {.least_entries = 100, .most_entries = 1'000, .wal_time = milliseconds(10'000)};
  limits.prune_every = milliseconds(0);
  limits.prune_quiet = milliseconds(0);
  start(limits);
  store_.insert_parents(500);
  const auto boundary = pull_batch(*source_, replica_);
  const auto entries = [&] { return store_.number("SELECT count(*) FROM _switchback_log"); };
  const std::int64_t before = entries();
  source_->idle();
  EXPECT_EQ(entries(), before) << "nothing was acknowledged yet";
  EXPECT_GT(source_->lag().changes, 0u);
  source_->acknowledge(boundary.value());
  EXPECT_EQ(source_->lag().changes, 0u);
  source_->park();
  EXPECT_EQ(entries(), before);
  source_->idle();
  EXPECT_EQ(entries(), 1);
  EXPECT_EQ(source_->counts().prunes, 1u);
  EXPECT_FALSE(pull_batch(*source_, replica_, milliseconds(20)));
  EXPECT_EQ(source_->counts().unexplained, 0u) << "our own write";
  store_.insert_parents(1);
  EXPECT_TRUE(pull_batch(*source_, replica_));
  EXPECT_EQ(replica_.changes(), 501u);
  start({}, *boundary);
  EXPECT_TRUE(pull_batch(*source_, replica_));
  EXPECT_EQ(replica_.changes(), 502u) << "what came after the prune, once more";
}

// At most one transaction of an application fails for each prune, none for anything else, at a
// hundred a second.
TEST_P(SourcePruneTest, BesideAnApplicationThatNeverRests) {
  start(prune_often());
  store_.exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  Application application(store_.path(), milliseconds(10));
  EXPECT_TRUE(prunes(4));
  application.join();
  if (wal()) {
    EXPECT_LE(application.busy(), source_->counts().prunes);
  }
  EXPECT_EQ(application.busy_commits(), 0u);
  EXPECT_EQ(source_->counts().unexplained, 0u);
}

// With a rollback journal there are no pauses to look for: a prune takes the next gap it finds.
class SourceBesideAHurry : public SourcePruneTest {};

TEST_P(SourceBesideAHurry, TheLogIsPrunedAllTheSame) {
  SqliteSourceLimits limits = prune_often();
  limits.prune_anyway = milliseconds(500);
  start(limits);
  store_.exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  Application application(store_.path(), milliseconds(0));
  EXPECT_TRUE(prunes(2));
}

TEST_P(SourceBesideAHurry, AMomentIsLookedForUntilThatTakesTooLong) {
  constexpr milliseconds kWithin{500};
  SqliteSourceLimits limits = prune_often();
  limits.prune.wal_time = milliseconds(10'000);
  limits.prune.pause_within = kWithin;
  limits.prune_every = limits.prune_anyway = milliseconds(0);
  start(limits);
  const auto seconds_of_idle = [&] {
    const auto began = Deadline::Clock::now();
    source_->idle();
    return Deadline::Clock::now() - began;
  };
  const auto changes = [&] {
    store_.insert_parents(100);
    source_->acknowledge(pull_batch(*source_, replica_).value());
  };
  changes();
  EXPECT_GE(seconds_of_idle(), kWithin);
  EXPECT_EQ(source_->counts().prunes, 1u);
  changes();
  store_.exec("BEGIN IMMEDIATE");
  source_->idle();
  store_.exec("ROLLBACK");
  EXPECT_EQ(source_->counts().prunes, 1u) << "somebody else was writing";
  auto last = kWithin + milliseconds(1);
  for (const Deadline deadline = Deadline::in(std::chrono::seconds(60));
       source_->counts().prunes < 2 && !deadline.passed();) {
    last = std::chrono::duration_cast<milliseconds>(seconds_of_idle());
  }
  EXPECT_LT(last, kWithin) << "no longer looked for";
}

INSTANTIATE_TEST_SUITE_P(JournalModes, SourcePruneTest, ::testing::Values("wal", "delete"));
INSTANTIATE_TEST_SUITE_P(JournalModes, SourceBesideAHurry, ::testing::Values("wal"));

}  // namespace
}  // namespace switchback
