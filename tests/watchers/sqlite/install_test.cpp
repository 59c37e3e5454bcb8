#include "watchers/sqlite/install.h"

#include <gtest/gtest.h>

#include <sqlite3.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>

#include "state/base/error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_mapping.h"
#include "watchers/sqlite/check.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/reader.h"

namespace switchback {
namespace {

class SqliteStore : public testing::TestWithParam<const char*> {
 protected:
  SqliteStore() {
    application_ = std::make_unique<SQLite::Database>(path().string(),
                                                      SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    exec("PRAGMA journal_mode = " + std::string(GetParam()));
    exec(kTestSqliteSchema);
  }

  std::filesystem::path path() const { return folder_ / "app.db"; }
  void exec(const std::string& sql) { application_->exec(sql); }
  std::string value(const std::string& sql) { return application_->execAndGet(sql).getString(); }
  SqliteInstall install() { return {path(), mapping_, "app"}; }
  std::multiset<std::string> schema() {
    SQLite::Statement query(
        *application_, "SELECT type || name || tbl_name || coalesce(sql, '') FROM sqlite_schema");
    std::multiset<std::string> out;
    while (query.executeStep()) out.insert(query.getColumn(0).getString());
    return out;
  }

  test::TempFolder folder_;
  std::unique_ptr<SQLite::Database> application_;
  std::shared_ptr<const Mapping> mapping_ = test_mapping();
};

ErrorKind kind_of_failure(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::kInternal;
}

TEST_P(SqliteStore, InstallIsOnceAndRemoveLeavesNothing) {
  const auto before = schema();
  const auto plan = install().plan();
  EXPECT_FALSE(plan.empty());
  install().install();
  EXPECT_TRUE(install().plan().empty());
  EXPECT_EQ(value("SELECT tbl FROM _switchback_log"), "-1");
  EXPECT_EQ(value("SELECT door || epoch FROM _switchback_gate WHERE grp = 'all'"), "open1");
  const std::string history = value("SELECT value FROM _switchback_meta WHERE name = 'history'");
  EXPECT_GT(std::stoll(history), 0);

  exec("INSERT INTO parent(id, name) VALUES (1, 'a'), (2, 'b'); DELETE FROM parent WHERE id = 1");
  install().install();
  EXPECT_EQ(value("SELECT group_concat(k1) FROM (SELECT k1 FROM _switchback_log WHERE tbl = 0 "
                  "ORDER BY seq)"),
            "1,2,1");
  EXPECT_EQ(value("SELECT value FROM _switchback_meta WHERE name = 'history'"), history);

  install().remove();
  EXPECT_EQ(schema(), before);
  install().remove();
  exec("INSERT INTO parent(id, name) VALUES (3, 'c')");
}

TEST_P(SqliteStore, RemovalScriptRemovesByHand) {
  const auto before = schema();
  install().install();
  exec(install().removal_script());
  EXPECT_EQ(schema(), before);
  exec(install().removal_script());
}

TEST_P(SqliteStore, TornCaptureIsToldNotRepaired) {
  install().install();
  EXPECT_TRUE(torn_capture(*application_, *mapping_, "app").empty());
  // As migration tools do it: a new table under the old name.
  exec("CREATE TABLE n AS SELECT * FROM child; DROP TABLE child; ALTER TABLE n RENAME TO child");
  EXPECT_EQ(torn_capture(*application_, *mapping_, "app"), std::vector{kChild});
  EXPECT_EQ(kind_of_failure([&] { install().install(); }), ErrorKind::kHistory);
  install().remove();
  install().install();
  exec("CREATE UNIQUE INDEX later ON parent(name)");  // REPLACE can now delete unseen
  EXPECT_EQ(torn_capture(*application_, *mapping_, "app"), std::vector{kParent});
}

TEST_P(SqliteStore, BelongsToOneBridge) {
  install().install();
  auto other = std::make_shared<Mapping>(*mapping_);
  other->bridge = "other";
  SqliteInstall theirs(path(), other, "app");
  EXPECT_EQ(kind_of_failure([&] { theirs.install(); }), ErrorKind::kRefused);
  EXPECT_EQ(kind_of_failure([&] { theirs.remove(); }), ErrorKind::kRefused);
}

TEST_P(SqliteStore, ReaderScansEveryRowInChunks) {
  install().install();
  exec(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) "
      "INSERT INTO parent SELECT i, 'name ' || i, i % 2, json_object('i', i), "
      "'2024-11-25 01:23:24' FROM n; UPDATE parent SET flag = 'odd' WHERE id = 17");
  const auto reader = open_sqlite_reader(path(), mapping_, "app");
  EXPECT_GE(reader->estimate(kParent), 10'000u);
  ScanCursor cursor;
  Chunk chunk;
  std::int64_t expected = 1, misfits = 0, calls = 0;
  for (; !cursor.done; ++calls) {
    chunk.clear();
    const Window window = reader->scan(kParent, cursor, chunk);
    EXPECT_EQ(window.to.value, 30002u);
    EXPECT_EQ(window.from, window.to);
    for (const Change& change : chunk.changes()) {
      EXPECT_EQ(chunk.row(change)[0].i, expected++);
      if (change.op == Op::kMisfit) ++misfits;
    }
  }
  EXPECT_EQ(expected, 30'001);
  EXPECT_EQ(misfits, 1);
  EXPECT_GT(calls, 2);

  Chunk keys, out;
  for (const std::int64_t id : {5, 99'999}) {
    keys.add(Cell::integer(id));
    keys.end_delete(kParent);
  }
  reader->fetch(kParent, keys, out);
  ASSERT_EQ(out.changes().size(), 2u);
  EXPECT_EQ(out.changes()[0].op, Op::kUpsert);
  EXPECT_EQ(out.text(out.row(out.changes()[0])[1]), "name 5");
  EXPECT_EQ(out.changes()[1].op, Op::kDelete);
}

TEST_P(SqliteStore, ReaderNoticesThatRowidsMayHaveMoved) {
  auto mapping = std::make_shared<Mapping>(*mapping_);
  mapping->tables[0].old_table = "words";
  mapping->tables[0].columns.resize(1);
  mapping->tables[0].columns[0].old_name = "w";
  mapping->tables[0].columns[0].type = PgType::kText;
  exec(
      "CREATE TABLE words(w TEXT PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT "
      "i + 1 FROM n WHERE i < 60000) INSERT INTO words SELECT 'word ' || i FROM n");
  const auto reader = open_sqlite_reader(path(), mapping, "app");
  ScanCursor cursor;
  Chunk chunk;
  reader->scan(kParent, cursor, chunk);
  ASSERT_FALSE(cursor.done);
  exec("VACUUM");
  EXPECT_EQ(kind_of_failure([&] { reader->scan(kParent, cursor, chunk); }), ErrorKind::kHistory);
}

TEST_P(SqliteStore, ReaderScansWithoutRowidByKey) {
  auto mapping = std::make_shared<Mapping>(*mapping_);
  mapping->tables[0].old_table = "pairs";
  mapping->tables[0].columns.resize(2);
  mapping->tables[0].columns[0] = mapping->tables[0].columns[1];
  mapping->tables[0].columns[0].old_name = "b";
  mapping->tables[0].columns[1].old_name = "a";
  mapping->tables[0].key_width = 2;
  exec(
      "CREATE TABLE pairs(a, b TEXT, PRIMARY KEY(b, a)) WITHOUT ROWID; WITH RECURSIVE n(i) AS "
      "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
      "INSERT INTO pairs SELECT CASE i % 3 WHEN 0 THEN i WHEN 1 THEN i + 0.5 ELSE 't' || i END, "
      "i / 100 FROM n");
  const auto reader = open_sqlite_reader(path(), mapping, "app");
  ScanCursor cursor;
  std::set<std::string> seen;
  while (!cursor.done) {
    Chunk chunk;
    reader->scan(kParent, cursor, chunk);
    for (const Change& change : chunk.changes()) {
      ASSERT_EQ(change.op, Op::kUpsert);
      seen.insert(std::string(chunk.text(chunk.row(change)[0])) + "|" +
                  std::string(chunk.text(chunk.row(change)[1])));
    }
  }
  EXPECT_EQ(seen.size(), 60'000u);
}

TEST_P(SqliteStore, CheckNamesWhatIsWrong) {
  exec("CREATE TRIGGER app_trigger AFTER INSERT ON parent BEGIN SELECT 1; END");
  const auto findings = check_sqlite(path(), *mapping_, "app");
  const auto says = [&](Finding::Level level, const std::string& words) {
    return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.level == level && finding.what.find(words) != std::string::npos;
    });
  };
  EXPECT_TRUE(says(Finding::Level::kWarning, "app_trigger"));
  EXPECT_TRUE(says(Finding::Level::kOk, "a write to every mapped table works"));
  for (const auto& finding : findings) {
    EXPECT_NE(finding.level, Finding::Level::kFailure) << finding.what;
  }
}

TEST_P(SqliteStore, CheckTriesWhatOnlyTheApplicationCanDo) {
  sqlite3_create_function(
      application_->getHandle(), "mine", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr,
      [](sqlite3_context* context, int, sqlite3_value** values) {
        sqlite3_result_value(context, values[0]);
      },
      nullptr, nullptr);
  exec("INSERT INTO parent(id, name) VALUES (1, 'a'); CREATE INDEX i ON parent(mine(name))");
  const auto findings = check_sqlite(path(), *mapping_, "app");
  EXPECT_TRUE(std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.level == Finding::Level::kFailure &&
           finding.what.find("parent") != std::string::npos && !finding.fix.empty();
  }));
  EXPECT_EQ(value("SELECT count(*) FROM parent"), "1");
}

INSTANTIATE_TEST_SUITE_P(Journal, SqliteStore, testing::Values("wal", "delete"),
                         [](const auto& mode) { return std::string(mode.param); });

}  // namespace
}  // namespace switchback
