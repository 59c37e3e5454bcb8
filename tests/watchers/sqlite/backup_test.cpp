#include "watchers/sqlite/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "tests/watchers/sqlite/target_fixture.h"

namespace switchback {
namespace {

class SqliteBackupTest : public ::testing::TestWithParam<std::string> {
 protected:
  TargetFixture target_{GetParam()};
  std::filesystem::path copy_ = target_.folder() / "copy.db";
};

INSTANTIATE_TEST_SUITE_P(Modes, SqliteBackupTest, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

TEST_P(SqliteBackupTest, CopiesACommittedStateWhileSomebodyWrites) {
  target_.application()->exec(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
      "INSERT INTO person(id, name, doc) SELECT i, 'n' || i, hex(zeroblob(100)) FROM n");
  std::mutex mutex;
  std::condition_variable_any changed;
  std::jthread writer([&](std::stop_token stop) {
    const auto application = target_.application();
    application->exec("PRAGMA synchronous = OFF");
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      // Two rows that always say the same: a copy of half a transaction would show.
      application->exec(
          "BEGIN IMMEDIATE; UPDATE person SET flag = coalesce(flag, 0) + 1 WHERE id IN (1, 39999);"
          "COMMIT");
      changed.wait_for(lock, stop, std::chrono::milliseconds(2), [] { return false; });
    }
  });
  const auto manifest = backup_sqlite(target_.path(), copy_);
  writer.request_stop();
  writer.join();

  EXPECT_EQ(manifest.bytes, std::filesystem::file_size(copy_));
  EXPECT_THAT(read_file(target_.folder() / "copy.json"), ::testing::HasSubstr(manifest.xxh3));
  SQLite::Database copy(copy_.string(), SQLite::OPEN_READWRITE);
  EXPECT_EQ(copy.execAndGet("PRAGMA integrity_check").getString(), "ok");
  EXPECT_EQ(copy.execAndGet("SELECT count(*) FROM person").getInt(), 40000);
  EXPECT_EQ(
      copy.execAndGet("SELECT count(DISTINCT flag) FROM person WHERE flag IS NOT NULL").getInt(),
      copy.execAndGet("SELECT max(flag IS NOT NULL) FROM person").getInt());
  EXPECT_EQ(copy.execAndGet("PRAGMA journal_mode").getString(), GetParam());
  EXPECT_FALSE(std::filesystem::exists(copy_.string() + ".tmp"));
}

TEST_P(SqliteBackupTest, ReplacesAnEarlierOne) {
  backup_sqlite(target_.path(), copy_);
  target_.application()->exec("INSERT INTO person(id) VALUES (5)");
  backup_sqlite(target_.path(), copy_);
  SQLite::Database copy(copy_.string(), SQLite::OPEN_READWRITE);
  EXPECT_EQ(copy.execAndGet("SELECT id FROM person").getInt(), 5);
}

TEST_P(SqliteBackupTest, WithoutASourceThereIsNoBackup) {
  EXPECT_THROW(backup_sqlite(target_.folder() / "none.db", copy_), Error);
  EXPECT_FALSE(std::filesystem::exists(copy_));
  EXPECT_FALSE(std::filesystem::exists(target_.folder() / "none.db"));
}

}  // namespace
}  // namespace switchback
