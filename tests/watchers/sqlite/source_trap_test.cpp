// What may happen to the database file and its tables while the source reads it: replaced, written
// over in place, restored from a copy (trap 16), rebuilt by a migration tool. Each is noticed, the
// source stops and says what it found, and nothing of the wrong database goes out as a change.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "state/base/error.h"
#include "tests/watchers/sqlite/store_fixture.h"
#include "watchers/sqlite/source.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

class SourceTrap : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    store_ = std::make_unique<StoreFixture>(GetParam(), test_mapping(), kTestSqliteSchema);
    replica_ = std::make_unique<Replica>(store_->mapping());
    source_ = open_sqlite_source(store_->path(), store_->mapping(), "app", store_->folder());
    source_->start({});
    exec("INSERT INTO parent(id, name) VALUES (1, 'one'), (2, 'two')");
    applied_ = *pull_batch(*source_, *replica_);
  }
  void exec(const std::string& sql) { store_->exec(sql); }
  fs::path copy_path() const { return store_->folder() / "copy.db"; }

  /// A copy of the database as it is now, without -wal.
  void copy() { store_->application().exec(fmt::format("VACUUM INTO '{}'", copy_path().string())); }
  /// As sql.js saves, or `cp backup app.db`: the same inode, other bytes.
  void write_over(const fs::path& from) {
    const std::ifstream in(from, std::ios::binary);
    std::ofstream out(store_->path(), std::ios::binary | std::ios::trunc);
    out << in.rdbuf();
  }
  void drop_wal() {
    for (const char* suffix : {"-wal", "-shm", "-journal"}) {
      fs::remove(store_->path().string() + suffix);
    }
  }

  /// Pulls, and starts again when the error says so, as the pump does; the error that stops it.
  Error stopped() {
    const Deadline deadline = Deadline::in(std::chrono::seconds(20));
    const std::size_t before = replica_->changes();
    bool again = false;
    while (!deadline.passed()) {
      try {
        if (again) source_->start(applied_);
        again = false;
        pull_batch(*source_, *replica_, milliseconds(100));
      } catch (const Error& error) {
        EXPECT_EQ(replica_->changes(), before) << "a change of the wrong database went out";
        if (error.retry() == Retry::kNever) return error;
        again = true;
      }
    }
    ADD_FAILURE() << "nothing was noticed";
    return Error(ErrorKind::kInternal, Retry::kNever, "");
  }

  std::unique_ptr<StoreFixture> store_;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<ChangeSource> source_;
  Position applied_;
};

class Trap16 : public SourceTrap {};
class Rebuilt : public SourceTrap {};
class BlindSpot : public SourceTrap {};

TEST_P(Trap16, AFileRenamedIntoThePlaceWithoutCapture) {
  SQLite::Database other(copy_path().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  other.exec(kTestSqliteSchema);
  other.exec("INSERT INTO parent(id, name) VALUES (9, 'of another database')");
  store_->close();
  drop_wal();
  fs::rename(copy_path(), store_->path());
  const Error error = stopped();
  EXPECT_EQ(error.kind(), ErrorKind::kHistory) << error.what();
  EXPECT_NE(std::string(error.what()).find(store_->path().string()), std::string::npos);
}

TEST_P(Trap16, AnOlderCopyRenamedIntoThePlace) {
  copy();
  exec("INSERT INTO parent(id, name) VALUES (3, 'three')");
  applied_ = *pull_batch(*source_, *replica_);
  store_->close();
  drop_wal();
  fs::rename(copy_path(), store_->path());
  store_->reopen();
  exec("INSERT INTO parent(id, name) VALUES (4, 'in the copy'), (5, 'in the copy')");
  const Error error = stopped();
  EXPECT_EQ(error.kind(), ErrorKind::kHistory) << error.what();
  EXPECT_NE(std::string(error.what()).find("forked"), std::string::npos) << error.what();
}

TEST_P(Trap16, TheSameInodeWrittenOverWithoutCapture) {
  SQLite::Database other(copy_path().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  other.exec(kTestSqliteSchema);
  other.exec("INSERT INTO parent(id, name) VALUES (9, 'of another database')");
  store_->application().tryExec("PRAGMA wal_checkpoint(TRUNCATE)");
  store_->close();
  write_over(copy_path());
  const Error error = stopped();
  EXPECT_EQ(error.kind(), ErrorKind::kHistory) << error.what();
}

TEST_P(Trap16, TheSameInodeWrittenOverByAnOlderCopy) {
  copy();
  exec("INSERT INTO parent(id, name) VALUES (3, 'three')");
  applied_ = *pull_batch(*source_, *replica_);
  store_->application().tryExec("PRAGMA wal_checkpoint(TRUNCATE)");
  store_->close();
  write_over(copy_path());
  const Error error = stopped();
  EXPECT_EQ(error.kind(), ErrorKind::kHistory) << error.what();
  store_->reopen();
  EXPECT_EQ(store_->number("SELECT count(*) FROM parent"), 2) << "the copy was written to";
}

/// With a rollback journal only: SQLite leaves WAL mode when nobody else is there.
class Trap16_JournalMode : public Trap16 {};

// The application turns WAL on while the source reads; nothing is wrong with that.
TEST_P(Trap16_JournalMode, AnotherJournalModeIsNoOtherFile) {
  exec("PRAGMA journal_mode = WAL");
  exec("INSERT INTO parent(id, name) VALUES (3, 'three')");
  const Deadline deadline = Deadline::in(std::chrono::seconds(20));
  bool again = false;
  while (replica_->rows().size() < 3 && !deadline.passed()) {
    try {
      if (again) source_->start(applied_);
      if (pull_batch(*source_, *replica_, milliseconds(100)) && again) break;
    } catch (const Error& error) {
      ASSERT_EQ(error.retry(), Retry::kLater) << error.what();
      again = true;
    }
  }
  EXPECT_EQ(replica_->rows(), Replica::rows_of(store_->application(), *store_->mapping()));
}

TEST_P(Trap16, AFileThatIsNoDatabaseYetIsWaitedFor) {
  store_->application().tryExec("PRAGMA wal_checkpoint(TRUNCATE)");
  const auto whole = store_->folder() / "whole.db";
  store_->close();
  source_.reset();
  fs::copy_file(store_->path(), whole);
  source_ = open_sqlite_source(store_->path(), store_->mapping(), "app", store_->folder());
  {
    std::ofstream out(store_->path(), std::ios::binary | std::ios::trunc);
    out << std::string(4096, 'x');
  }
  try {
    source_->start(applied_);
    ADD_FAILURE() << "no database, and no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.retry(), Retry::kLater) << error.what();
  }
  write_over(whole);
  source_->start(applied_);
  store_->reopen();
  exec("INSERT INTO parent(id, name) VALUES (3, 'three')");
  EXPECT_TRUE(pull_batch(*source_, *replica_));
  EXPECT_EQ(replica_->rows(), Replica::rows_of(store_->application(), *store_->mapping()));
}

// https://www.sqlite.org/lang_altertable.html, the twelve steps, as migration tools take them.
TEST_P(Rebuilt, ByAMigrationToolWhileTheSourceReads) {
  exec("UPDATE parent SET name = 'captured before' WHERE id = 1");
  exec(
      "BEGIN; CREATE TABLE made(id INTEGER PRIMARY KEY, name TEXT NOT NULL, flag BOOLEAN,"
      " doc JSON, at DATETIME); INSERT INTO made SELECT * FROM parent; DROP TABLE parent;"
      " ALTER TABLE made RENAME TO parent; COMMIT;"
      "UPDATE parent SET name = 'not captured'");
  const Error error = stopped();
  EXPECT_EQ(error.kind(), ErrorKind::kHistory);
  EXPECT_NE(std::string(error.what()).find("parent"), std::string::npos) << error.what();
  EXPECT_FALSE(error.detail().next.empty());
  EXPECT_EQ(store_->number("SELECT count(*) FROM _switchback_log WHERE k1 = 1"), 2)
      << "what was captured is still there";
}

TEST_P(Rebuilt, WhileNobodyReads) {
  source_.reset();
  exec(
      "CREATE TABLE made(id INTEGER PRIMARY KEY, parent_id INTEGER, amount NUMERIC);"
      "DROP TABLE child; ALTER TABLE made RENAME TO child; INSERT INTO child VALUES (7, 1, 2)");
  source_ = open_sqlite_source(store_->path(), store_->mapping(), "app", store_->folder());
  source_->start(applied_);
  const Error error = stopped();
  EXPECT_EQ(error.kind(), ErrorKind::kHistory);
  EXPECT_NE(std::string(error.what()).find("child"), std::string::npos) << error.what();
}

TEST_P(BlindSpot, ACommitThatWentPastTheTriggersIsCounted) {
  exec("INSERT INTO parent(id, name) VALUES (3, 'three')");
  ASSERT_TRUE(pull_batch(*source_, *replica_));
  EXPECT_FALSE(pull_batch(*source_, *replica_, milliseconds(20)));
  EXPECT_EQ(source_->counts(), SourceCounts{});
  sqlite3* const handle = store_->application().getHandle();
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  exec("UPDATE parent SET name = 'unseen'");
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, nullptr);
  EXPECT_FALSE(pull_batch(*source_, *replica_, milliseconds(1'500)));
  EXPECT_EQ(source_->counts().unexplained, 1u);
  EXPECT_FALSE(pull_batch(*source_, *replica_, milliseconds(20)));
  EXPECT_EQ(source_->counts().unexplained, 1u) << "once";
}

// Whoever parks holds writers off, and asks right afterwards.
TEST_P(BlindSpot, TheLastCommitBeforeAParkIsCounted) {
  EXPECT_FALSE(pull_batch(*source_, *replica_, milliseconds(20)));
  sqlite3* const handle = store_->application().getHandle();
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  exec("UPDATE parent SET name = 'unseen'");
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, nullptr);
  exec("BEGIN IMMEDIATE");
  source_->park();
  EXPECT_EQ(source_->counts().unexplained, 1u);
  exec("ROLLBACK");
  exec("INSERT INTO parent(id, name) VALUES (3, 'three')");
  source_->park();
  EXPECT_TRUE(pull_batch(*source_, *replica_)) << "what a park has read is handed out all the same";
  EXPECT_EQ(replica_->rows().size(), 3u);
  EXPECT_EQ(source_->counts().unexplained, 1u);
}

TEST_P(BlindSpot, WhatHasAReasonIsNoUnexplainedCommit) {
  for (const char* sql : {"UPDATE parent SET name = name WHERE id = -1", "PRAGMA user_version = 7",
                          "ANALYZE", "INSERT INTO parent(id, name) VALUES (3, 'three')", "ANALYZE",
                          "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "CREATE TABLE notes(x)",
                          "INSERT INTO notes VALUES (1)", "UPDATE notes SET x = 2"}) {
    store_->application().tryExec(sql);
    try {
      pull_batch(*source_, *replica_, milliseconds(100));
    } catch (const Error& error) {
      // Of a new table the pump is told, which then looks at the tables and starts again.
      EXPECT_EQ(std::string_view(sql), "CREATE TABLE notes(x)") << error.what();
      EXPECT_EQ(error.retry(), Retry::kLater);
      source_->start(applied_);
      pull_batch(*source_, *replica_, milliseconds(100));
    }
    EXPECT_EQ(source_->counts().unexplained, 0u) << sql;
  }
  EXPECT_EQ(replica_->rows(), Replica::rows_of(store_->application(), *store_->mapping()));
}

INSTANTIATE_TEST_SUITE_P(JournalModes, BlindSpot, ::testing::Values("wal", "delete"));
INSTANTIATE_TEST_SUITE_P(JournalModes, Trap16, ::testing::Values("wal", "delete"));
INSTANTIATE_TEST_SUITE_P(JournalModes, Trap16_JournalMode, ::testing::Values("delete"));
INSTANTIATE_TEST_SUITE_P(JournalModes, Rebuilt, ::testing::Values("wal", "delete"));

}  // namespace
}  // namespace switchback
