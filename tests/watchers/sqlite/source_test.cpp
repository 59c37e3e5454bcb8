#include "watchers/sqlite/source.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <thread>

#include "state/base/error.h"
#include "tests/watchers/sqlite/store_fixture.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

std::shared_ptr<const Mapping> cascading_mapping() {
  auto mapping = std::make_shared<Mapping>(*test_mapping());
  mapping->tables[index(kChild)].foreign_keys[0].on_delete = 'c';
  return mapping;
}

class SourceTest : public ::testing::TestWithParam<const char*> {
 protected:
  bool wal() const { return std::string(GetParam()) == "wal"; }

  void use(std::shared_ptr<const Mapping> mapping, const std::string& schema) {
    source_.reset();
    store_ = std::make_unique<StoreFixture>(GetParam(), mapping, schema);
    replica_ = std::make_unique<Replica>(mapping);
  }
  void start(SqliteSourceLimits limits = {}, Position applied = {}) {
    source_ = open_sqlite_source(store_->path(), store_->mapping(), "app", store_->folder(),
                                 std::move(limits));
    source_->start(applied);
  }
  /// A source that starts from nothing owes a first boundary, also of an untouched store.
  void start_settled() {
    start();
    expect_batch(0);
  }
  void SetUp() override { use(test_mapping(), kTestSqliteSchema); }

  void exec(const std::string& sql) { store_->exec(sql); }
  /// Pulls one batch and expects exactly this many changes and equal rows afterwards.
  std::optional<Position> expect_batch(std::size_t changes) {
    const std::size_t before = replica_->changes();
    const auto boundary = pull_batch(*source_, *replica_);
    EXPECT_TRUE(boundary.has_value());
    EXPECT_EQ(replica_->changes() - before, changes);
    expect_equal();
    return boundary;
  }
  void expect_equal() {
    EXPECT_EQ(replica_->rows(), Replica::rows_of(store_->application(), *store_->mapping()));
  }
  ErrorKind kind_of_failure(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      message_ = error.what();
      return error.kind();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorKind::kInternal;
  }
  Pull pull(milliseconds limit) {
    chunk_.clear();
    return source_->pull(chunk_, Deadline::in(limit), std::stop_token{});
  }

  std::unique_ptr<StoreFixture> store_;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<ChangeSource> source_;
  Chunk chunk_;
  std::string message_;
};

TEST_P(SourceTest, InsertUpdateDeleteArrive) {
  start_settled();
  EXPECT_EQ(pull(milliseconds(0)), Pull::kIdle);
  exec("INSERT INTO parent(id, name) VALUES (1, 'one'), (2, 'two')");
  expect_batch(2);
  exec("UPDATE parent SET name = 'zwei' WHERE id = 2");
  exec("DELETE FROM parent WHERE id = 1");
  expect_batch(2);
  EXPECT_EQ(pull(milliseconds(20)), Pull::kIdle);
}

TEST_P(SourceTest, AHotRowCollapses) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  for (int i = 0; i < 300; ++i) exec(fmt::format("UPDATE parent SET name = 'n{}'", i));
  expect_batch(1);
}

TEST_P(SourceTest, DeletedAndInsertedAgainIsOneUpsert) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  expect_batch(1);
  exec("DELETE FROM parent");
  exec("INSERT INTO parent(id, name) VALUES (1, 'again')");
  expect_batch(1);
}

TEST_P(SourceTest, AnInsertThatIsGoneAgainIsADelete) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  exec("DELETE FROM parent");
  expect_batch(1);
}

TEST_P(SourceTest, AKeyChangeIsADeleteAndAnUpsert) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  expect_batch(1);
  exec("UPDATE parent SET id = 9");
  expect_batch(2);
}

TEST_P(SourceTest, ReplaceTakesTheRowsItDisplaces) {
  use(test_mapping(), std::string(kTestSqliteSchema) + "CREATE UNIQUE INDEX u ON parent(name);");
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one'), (2, 'two')");
  expect_batch(2);
  exec("REPLACE INTO parent(id, name) VALUES (1, 'two')");
  expect_batch(2);
}

TEST_P(SourceTest, ARowThatDoesNotFitIsAMisfit) {
  start();
  exec("INSERT INTO parent(id, name, flag) VALUES (1, 'one', 'perhaps')");
  expect_batch(1);
  EXPECT_EQ(replica_->rows().begin()->second.substr(0, 7), "misfit:");
}

TEST_P(SourceTest, TablesComeInForeignKeyOrder) {
  start();
  exec("INSERT INTO child(id, parent_id) VALUES (1, 1), (2, 2)");
  exec("INSERT INTO parent(id, name) VALUES (1, 'one'), (2, 'two')");
  expect_batch(4);
  exec("DELETE FROM parent WHERE id = 1");
  exec("DELETE FROM child WHERE id = 1");
  expect_batch(2);
}

TEST_P(SourceTest, AParentGoesAfterItsChildrenMovedAway) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one'), (2, 'two')");
  exec("INSERT INTO child(id, parent_id) VALUES (1, 1)");
  expect_batch(3);
  exec("UPDATE child SET parent_id = 2; DELETE FROM parent WHERE id = 1");
  expect_batch(2);
}

TEST_P(SourceTest, ChildrenThatPostgresWouldDeleteJoinTheBatch) {
  use(cascading_mapping(), kTestSqliteSchema);
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  exec("INSERT INTO child(id, parent_id) VALUES (1, 1), (2, 1), (3, NULL)");
  expect_batch(4);
  // One transaction deletes and inserts the parent's key again under another row: nothing is
  // deleted. Then it is deleted while its children stay as orphans, which SQLite allows.
  exec("DELETE FROM parent WHERE id = 1");
  const std::size_t before = replica_->changes();
  Chunk chunk;
  ASSERT_EQ(source_->pull(chunk, Deadline::in(milliseconds(5'000)), {}), Pull::kChunk);
  // They leave before it, so that PostgreSQL has nobody to take along, and are put back.
  std::string said;
  for (const Change& change : chunk.changes()) said += change.op == Op::kDelete ? '-' : '+';
  EXPECT_EQ(said, "---++");
  ASSERT_EQ(chunk.changes().size(), 5u);
  EXPECT_EQ(chunk.changes()[2].table, kParent);
  EXPECT_EQ(before, replica_->changes());
}

TEST_P(SourceTest, ALogThatMovedWithoutAChangeGivesABoundaryAlone) {
  start();
  exec("INSERT INTO _switchback_log(tbl) VALUES (-1)");
  const auto boundary = expect_batch(0);
  EXPECT_EQ(boundary->value, 2u);
}

TEST_P(SourceTest, ContinuesAtTheBoundary) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  const auto boundary = expect_batch(1);
  exec("INSERT INTO parent(id, name) VALUES (2, 'two')");
  start({}, *boundary);
  expect_batch(1);
  EXPECT_EQ(pull(milliseconds(0)), Pull::kIdle);
}

TEST_P(SourceTest, KeysOfOtherTypesAreOtherRows) {
  auto mapping = std::make_shared<Mapping>(*test_mapping());
  mapping->tables.resize(1);
  ColumnMap& key = mapping->tables[0].columns[0];
  key.type = PgType::kText;
  key.type_name = "text";
  use(mapping,
      "CREATE TABLE parent(id PRIMARY KEY, name TEXT NOT NULL, flag BOOLEAN, doc JSON,"
      " at DATETIME)");
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'integer'), ('a', 'small'), ('A', 'large')");
  expect_batch(3);
  exec("UPDATE parent SET name = 'changed' WHERE id = 'a'");
  expect_batch(1);
  // In PostgreSQL both are the text '1': the old key's delete must not follow the new row.
  exec("UPDATE parent SET id = '1' WHERE id = 1");
  expect_batch(2);
}

TEST_P(SourceTest, RandomWorkIsFollowed) {
  start();
  std::mt19937 random(7);
  std::uint64_t reached = 0;
  const auto pick = [&](int below) {
    return static_cast<int>(random() % static_cast<unsigned>(below));
  };
  for (int batch = 0; batch < 60; ++batch) {
    for (int i = pick(12) + 1; i > 0; --i) {
      SQLite::Transaction transaction(store_->application());
      const int parent = pick(10);
      switch (pick(5)) {
        case 0:
          exec(fmt::format("REPLACE INTO parent(id, name) VALUES ({}, 'p{}')", parent, i));
          break;
        case 1:
          exec(fmt::format("INSERT OR IGNORE INTO parent(id, name) VALUES ({}, 'q')", parent));
          exec(fmt::format("REPLACE INTO child(id, parent_id) VALUES ({}, {})", pick(30), parent));
          break;
        case 2:
          exec(fmt::format("DELETE FROM child WHERE id = {}", pick(30)));
          break;
        case 3:
          exec(fmt::format("UPDATE child SET amount = {} WHERE id < {}", i, pick(30)));
          break;
        case 4:
          exec(
              fmt::format("DELETE FROM child WHERE parent_id = {0};"
                          "DELETE FROM parent WHERE id = {0}",
                          parent));
          break;
      }
      transaction.commit();
    }
    const auto end =
        static_cast<std::uint64_t>(store_->number("SELECT max(seq) FROM _switchback_log"));
    while (reached < end) reached = pull_batch(*source_, *replica_).value().value;
    expect_equal();
    ASSERT_FALSE(HasFailure()) << "batch " << batch;
  }
}

TEST_P(SourceTest, ARestoredCopyIsAnotherHistory) {
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  store_->close();
  const auto copy = store_->folder() / "copy.db";
  std::filesystem::copy_file(store_->path(), copy);
  store_->reopen();
  start();
  exec("INSERT INTO parent(id, name) VALUES (2, 'two')");
  const auto applied = expect_batch(2);
  source_.reset();
  store_->close();
  std::filesystem::remove(store_->path());
  std::filesystem::rename(copy, store_->path());
  store_->reopen();
  EXPECT_EQ(kind_of_failure([&] { start({}, *applied); }), ErrorKind::kHistory);
  exec("INSERT INTO parent(id, name) VALUES (3, 'three'), (4, 'four')");
  EXPECT_EQ(kind_of_failure([&] { start({}, *applied); }), ErrorKind::kHistory);
}

TEST_P(SourceTest, AForkUnderARunningSourceIsNoticed) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  expect_batch(1);
  // As after a restore into the file: the same seq again, made by somebody else.
  exec("DELETE FROM _switchback_log WHERE seq = 2; INSERT INTO parent(id, name) VALUES (2, 'two')");
  exec("INSERT INTO parent(id, name) VALUES (3, 'three')");
  EXPECT_EQ(kind_of_failure([&] { pull(milliseconds(2'000)); }), ErrorKind::kHistory);
}

TEST_P(SourceTest, TheAcknowledgedEntryMustStay) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  expect_batch(1);
  exec("DELETE FROM _switchback_log WHERE seq = 1; INSERT INTO parent(id, name) VALUES (2, 'b')");
  EXPECT_EQ(kind_of_failure([&] { pull(milliseconds(2'000)); }), ErrorKind::kHistory);
}

TEST_P(SourceTest, AnotherHistoryNumberIsRefused) {
  const Position other = to_position(12345, store_->install_entry());
  EXPECT_EQ(kind_of_failure([&] { start({}, other); }), ErrorKind::kHistory);
}

TEST_P(SourceTest, WithoutTheInstallEntryAFreshStartIsRefused) {
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  exec("DELETE FROM _switchback_log WHERE tbl = -1");
  EXPECT_EQ(kind_of_failure([&] { start(); }), ErrorKind::kHistory);
}

TEST_P(SourceTest, ALostTriggerStopsTheSourceAndIsNamed) {
  start();
  const std::string trigger =
      store_->application()
          .execAndGet(
              "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'child'")
          .getString();
  exec("DROP TRIGGER " + trigger);
  EXPECT_EQ(kind_of_failure([&] { pull(milliseconds(2'000)); }), ErrorKind::kHistory);
  EXPECT_NE(message_.find("child"), std::string::npos) << message_;
}

TEST_P(SourceTest, ATableRebuiltByAMigrationStopsTheSource) {
  start();
  exec(
      "CREATE TABLE made(id INTEGER PRIMARY KEY, parent_id INTEGER, amount NUMERIC);"
      "DROP TABLE child; ALTER TABLE made RENAME TO child;");
  EXPECT_EQ(kind_of_failure([&] { pull(milliseconds(2'000)); }), ErrorKind::kHistory);
  EXPECT_NE(message_.find("child"), std::string::npos) << message_;
}

TEST_P(SourceTest, AReplacedFileIsNoticed) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  expect_batch(1);
  store_->close();
  const auto copy = store_->folder() / "copy.db";
  std::filesystem::copy_file(store_->path(), copy);
  std::filesystem::rename(copy, store_->path());
  EXPECT_EQ(kind_of_failure([&] { pull(milliseconds(3'000)); }), ErrorKind::kUnreachable);
}

TEST_P(SourceTest, WakeEndsAPullAtOnce) {
  start_settled();
  source_->wake();
  auto began = Deadline::Clock::now();
  EXPECT_EQ(pull(milliseconds(10'000)), Pull::kIdle);
  const std::jthread other([&] { source_->wake(); });
  EXPECT_EQ(pull(milliseconds(10'000)), Pull::kIdle);
  std::stop_source stop;
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(source_->pull(chunk_, Deadline::in(milliseconds(10'000)), stop.get_token()),
            Pull::kIdle);
  EXPECT_LT(Deadline::Clock::now() - began, milliseconds(3'000));
}

// The event of a commit with synchronous=FULL comes before the commit is visible; waiting for the
// slow poll would take up to a second.
TEST_P(SourceTest, ACommitIsSeenWithinMillisecondsWhateverItsSync) {
  start_settled();
  store_->exec("PRAGMA synchronous = FULL");
  std::vector<milliseconds> waits;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(pull(milliseconds(30)), Pull::kIdle);
    Deadline::Clock::time_point committed;
    std::jthread writer([&] {
      exec(fmt::format("INSERT INTO parent(id, name) VALUES ({}, 'x')", i));
      committed = Deadline::Clock::now();
    });
    ASSERT_TRUE(pull_batch(*source_, *replica_));
    const auto arrived = Deadline::Clock::now();
    writer.join();
    waits.push_back(std::chrono::duration_cast<milliseconds>(arrived - committed));
  }
  std::sort(waits.begin(), waits.end());
  EXPECT_LE(waits[waits.size() / 2], milliseconds(20));
}

TEST_P(SourceTest, NothingIsLockedBetweenPullsAndWhileParked) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  expect_batch(1);
  source_->park();
  store_->application().setBusyTimeout(0);
  EXPECT_NO_THROW(exec("BEGIN EXCLUSIVE; INSERT INTO parent(id, name) VALUES (2, 'two'); COMMIT"));
}

TEST_P(SourceTest, ALockedDatabaseIsWaitedFor) {
  start();
  exec("INSERT INTO parent(id, name) VALUES (1, 'one')");
  exec("BEGIN EXCLUSIVE");
  if (!wal()) {
    EXPECT_EQ(pull(milliseconds(30)), Pull::kIdle);
  }
  exec("COMMIT");
  expect_batch(1);
}

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

TEST_P(SourceTest, IdlingCostsNothing) {
  start();
  pull(milliseconds(1'500));  // past the quick looks after the last event
  double least = 1;           // of three seconds: others can only add
  for (int second = 0; second < 3; ++second) {
    const double before = cpu_seconds();
    EXPECT_EQ(pull(milliseconds(1'000)), Pull::kIdle);
    least = std::min(least, cpu_seconds() - before);
  }
  EXPECT_LT(least, 0.004);  // sanitizers included; ops/bench holds the program to 0.001
}

INSTANTIATE_TEST_SUITE_P(JournalModes, SourceTest, ::testing::Values("wal", "delete"));

}  // namespace
}  // namespace switchback
