// The ways of writing that hide a change from triggers, each named after its trap: rows that
// REPLACE deletes without firing a delete trigger (01), keys that change while they stay equal
// (02), and keys that are not what one expects of a key (03).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/watchers/sqlite/capture_copy.h"
#include "watchers/sqlite/affinity.h"

namespace switchback {
namespace {

TEST(Trap01, ReplaceThroughCompositeUnique) {
  CaptureCopy t("CREATE TABLE t(k INTEGER PRIMARY KEY, a, b, UNIQUE(a, b))", {"k"});
  t.exec("INSERT INTO t VALUES (1, 'x', 'y'), (2, 'x', 'z'), (3, 'v', 'w')");
  t.catch_up();
  EXPECT_EQ(t.after("REPLACE INTO t VALUES (4, 'x', 'y')"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET a = 'x', b = 'z' WHERE k = 3"), "");
}

TEST(Trap01, ReplaceThroughPartialUnique) {
  CaptureCopy t(
      "CREATE TABLE t(k INTEGER PRIMARY KEY, a, live);"
      "CREATE UNIQUE INDEX one_live ON t(a) WHERE live = 1",
      {"k"});
  t.exec("INSERT INTO t VALUES (1, 'x', 1), (2, 'x', 0), (3, 'x', 0)");
  t.catch_up();
  EXPECT_EQ(t.after("REPLACE INTO t VALUES (4, 'x', 1)"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET live = 1 WHERE k = 3"), "");
  EXPECT_EQ(t.after("REPLACE INTO t VALUES (5, 'x', 0)"), "");
}

TEST(Trap01, ReplaceThroughExpressionUnique) {
  CaptureCopy t(
      "CREATE TABLE t(k INTEGER PRIMARY KEY, mail);"
      "CREATE UNIQUE INDEX one_mail ON t(lower(mail), k > 100)",
      {"k"});
  t.exec("INSERT INTO t VALUES (1, 'Ada@x'), (2, 'bob@x'), (3, 'cy@x')");
  t.catch_up();
  EXPECT_EQ(t.after("REPLACE INTO t VALUES (4, 'ADA@X')"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET mail = 'BOB@x' WHERE k = 3"), "");
}

TEST(Trap01, ReplaceThroughCollatedUnique) {
  CaptureCopy t(
      "CREATE TABLE t(k INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE, b TEXT);"
      "CREATE UNIQUE INDEX trimmed ON t(b COLLATE RTRIM)",
      {"k"});
  t.exec("INSERT INTO t VALUES (1, 'x', 'p'), (2, 'y', 'q'), (3, 'z', 'r')");
  t.catch_up();
  EXPECT_EQ(t.after("REPLACE INTO t VALUES (4, 'X', 's')"), "");
  EXPECT_EQ(t.after("REPLACE INTO t VALUES (5, 'v', 'q  ')"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET a = 'V' WHERE k = 3"), "");
}

TEST(Trap01, ReplaceOfAKeyThatEqualsAnotherByItsCollation) {
  CaptureCopy t("CREATE TABLE t(k TEXT COLLATE NOCASE PRIMARY KEY, a) WITHOUT ROWID", {"k"});
  t.exec("INSERT INTO t VALUES ('x', 1)");
  t.catch_up();
  t.exec("REPLACE INTO t VALUES ('X', 2)");
  EXPECT_EQ(t.logged(), "'X', 'x'");
  t.catch_up();
  EXPECT_EQ(t.difference(), "");
}

TEST(Trap01, NotNullDefaultTakesTheCollidingValue) {
  CaptureCopy t(
      "CREATE TABLE t(k INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'none' UNIQUE,"
      " b NOT NULL DEFAULT (1 + 1) UNIQUE)",
      {"k"});
  t.exec("INSERT INTO t VALUES (1, 'none', 'x'), (2, 'other', 2), (3, 'third', 'y')");
  t.catch_up();
  EXPECT_EQ(t.after("INSERT OR REPLACE INTO t VALUES (4, NULL, 'z')"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET b = NULL WHERE k = 3"), "");
}

TEST(Trap01, RowidThatIsNobodysKey) {
  CaptureCopy t("CREATE TABLE t(k TEXT PRIMARY KEY, a)", {"k"});
  t.exec("INSERT INTO t(rowid, k) VALUES (1, 'x'), (2, 'y'), (-1, 'z')");
  t.catch_up();
  EXPECT_EQ(t.after("REPLACE INTO t(rowid, k) VALUES (1, 'new')"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET oid = 1 WHERE k = 'y'"), "");
  EXPECT_EQ(t.after("REPLACE INTO t(rowid, k) VALUES (-1, 'minus')"), "");
}

TEST(Trap01, ConflictClauseOfTheTableItself) {
  CaptureCopy t("CREATE TABLE t(k INTEGER PRIMARY KEY, a UNIQUE ON CONFLICT REPLACE)", {"k"});
  t.exec("INSERT INTO t VALUES (1, 'x'), (2, 'y')");
  t.catch_up();
  EXPECT_EQ(t.after("INSERT INTO t VALUES (3, 'x')"), "");
  EXPECT_EQ(t.after("UPDATE t SET a = 'y' WHERE k = 3"), "");
}

TEST(Trap01, ReplaceWithRecursiveTriggersOnAndOff) {
  for (const char* recursive : {"ON", "OFF"}) {
    CaptureCopy t("CREATE TABLE t(k INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE)", {"k"});
    t.exec(fmt::format("PRAGMA recursive_triggers = {}", recursive));
    t.exec("INSERT INTO t VALUES (1, 'a', 'b'), (2, 'c', 'd'), (3, 'e', 'f')");
    t.catch_up();
    EXPECT_EQ(t.after("REPLACE INTO t VALUES (1, 'c', 'f')"), "") << recursive;
    EXPECT_EQ(t.after("REPLACE INTO t SELECT k + 10, a, b FROM t"), "") << recursive;
  }
}

TEST(Trap01, IgnoreFailUpsertAndSavepoints) {
  CaptureCopy t("CREATE TABLE t(k INTEGER PRIMARY KEY, a UNIQUE, b NOT NULL DEFAULT 0)", {"k"});
  t.exec("INSERT INTO t VALUES (1, 'x', 0), (2, 'y', 0), (3, 'z', 0)");
  t.catch_up();
  // The clause reaches into our trigger's statements: a constraint on the log would drop entries.
  EXPECT_EQ(t.after("INSERT OR IGNORE INTO t VALUES (4, 'new', 1), (5, 'x', 1), (6, 'more', 1)"),
            "");
  EXPECT_THROW(t.exec("INSERT OR FAIL INTO t VALUES (7, 'kept', 1), (8, 'x', 1), (9, 'no', 1)"),
               SQLite::Exception);
  EXPECT_EQ(t.after("SELECT 1"), "");
  EXPECT_EQ(t.after("INSERT INTO t VALUES (10, 'x', 1) ON CONFLICT(a) DO UPDATE SET k = 11"), "");
  EXPECT_EQ(t.after("INSERT INTO t VALUES (2, 'q', 1) ON CONFLICT DO NOTHING"), "");
  EXPECT_EQ(t.after("BEGIN; UPDATE t SET b = 5; SAVEPOINT s; DELETE FROM t;"
                    "REPLACE INTO t VALUES (20, 'y', 1); ROLLBACK TO s;"
                    "REPLACE INTO t VALUES (21, 'y', 1); RELEASE s; COMMIT"),
            "");
}

TEST(Trap01, CascadesWithForeignKeysOnAndOff) {
  for (const char* enforced : {"ON", "OFF"}) {
    CaptureCopy t(
        "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
        "CREATE TABLE t(k TEXT, owner TEXT REFERENCES parent(name) ON DELETE CASCADE"
        " ON UPDATE CASCADE, note INT DEFAULT 0, PRIMARY KEY(k, owner))",
        {"k", "owner"});
    t.exec(fmt::format("PRAGMA foreign_keys = {}", enforced));
    t.exec(
        "INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');"
        "INSERT INTO t(k, owner) VALUES ('x', 'a'), ('y', 'a'), ('x', 'b'), ('z', 'c')");
    t.catch_up();
    EXPECT_EQ(t.after("UPDATE parent SET name = 'renamed' WHERE id = 1"), "") << enforced;
    EXPECT_EQ(t.after("DELETE FROM parent WHERE id = 2"), "") << enforced;
    EXPECT_EQ(t.after("REPLACE INTO parent VALUES (4, 'c')"), "") << enforced;
  }
}

TEST(Trap01, WritesThroughAnAttachedDatabase) {
  const auto path = std::filesystem::path(testing::TempDir()) / "switchback-trap01-attached.db";
  std::filesystem::remove(path);
  {
    CaptureCopy t("CREATE TABLE t(k INTEGER PRIMARY KEY, a UNIQUE)", {"k"});
    t.exec("INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    t.exec(fmt::format("VACUUM INTO '{}'", path.string()));
  }
  // Another application reaches the tables under a name of its own, and has tables of the same
  // names as main.
  SQLite::Database other(":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  other.exec("CREATE TABLE t(k INTEGER PRIMARY KEY, a); CREATE TABLE _switchback_log(x)");
  other.exec(fmt::format("ATTACH '{}' AS store", path.string()));
  other.exec("DELETE FROM store._switchback_log");
  other.exec("REPLACE INTO store.t SELECT 9, 'x'; UPDATE store.t SET k = 5 WHERE a = 'y'");
  EXPECT_EQ(other
                .execAndGet("SELECT group_concat(k1) FROM (SELECT DISTINCT k1 FROM "
                            "store._switchback_log ORDER BY k1)")
                .getString(),
            "1,2,5,9");
  EXPECT_EQ(other.execAndGet("SELECT count(*) FROM main._switchback_log").getInt(), 0);
  std::filesystem::remove(path);
}

TEST(Trap02, CaseChangeOfAKeyThatComparesWithoutCase) {
  CaptureCopy t("CREATE TABLE t(k TEXT COLLATE NOCASE PRIMARY KEY, a)", {"k"});
  t.exec("INSERT INTO t VALUES ('ada', 1)");
  t.catch_up();
  t.exec("UPDATE t SET k = 'Ada'");
  EXPECT_EQ(t.logged(), "'Ada', 'ada'");
  t.catch_up();
  EXPECT_EQ(t.difference(), "");
}

TEST(Trap02, BlanksAtTheEndOfAKeyThatComparesTrimmed) {
  CaptureCopy t("CREATE TABLE t(k TEXT COLLATE RTRIM, n INT, PRIMARY KEY(k, n)) WITHOUT ROWID",
                {"k", "n"});
  t.exec("INSERT INTO t VALUES ('a', 1), ('a', 2)");
  t.catch_up();
  EXPECT_EQ(t.after("UPDATE t SET k = 'a  ' WHERE n = 2"), "");
}

TEST(Trap02, TypeChangeOfAKeyThatStaysEqual) {
  for (const char* table : {"t(k PRIMARY KEY, a)", "t(k BLOB PRIMARY KEY, a) WITHOUT ROWID",
                            "t(k ANY PRIMARY KEY, a TEXT) STRICT"}) {
    CaptureCopy t(fmt::format("CREATE TABLE {}", table), {"k"});
    t.exec("INSERT INTO t VALUES (1, 'one'), ('a', 'text')");
    t.catch_up();
    t.exec("UPDATE t SET k = 1.0 WHERE k = 1");
    EXPECT_EQ(t.logged(), "1, 1.0") << table;
    EXPECT_EQ(t.after("UPDATE t SET k = x'61' WHERE k = 'a'"), "") << table;
    t.exec("REPLACE INTO t VALUES (1, 'replaced')");
    EXPECT_EQ(t.after("SELECT 1"), "") << table;
  }
}

TEST(Trap03, AnAliasOfTheRowidIsAKeyUnderEachOfItsNames) {
  CaptureCopy t("CREATE TABLE t(k INTEGER PRIMARY KEY, a)", {"k"});
  t.exec("INSERT INTO t VALUES (1, 'x'), (2, 'y')");
  t.catch_up();
  EXPECT_EQ(t.after("UPDATE t SET rowid = 7 WHERE k = 1"), "");
  EXPECT_EQ(t.after("UPDATE t SET _rowid_ = 8, a = 'z' WHERE k = 2"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET oid = 7 WHERE k = 8"), "");
}

TEST(Trap03, AGeneratedKeyChangesWithoutBeingNamed) {
  CaptureCopy t("CREATE TABLE t(a, k TEXT AS ('k' || a) STORED UNIQUE, v AS (a || '!') UNIQUE)",
                {"k"});
  t.exec("INSERT INTO t VALUES (1), (2), (3)");
  t.exec(
      "DROP TABLE copy; CREATE TABLE copy AS SELECT a, k, v FROM t; DELETE FROM _switchback_log");
  EXPECT_EQ(t.after("UPDATE t SET a = 9 WHERE a = 1"), "");
  EXPECT_EQ(t.after("UPDATE OR REPLACE t SET a = 9 WHERE a = 2"), "");
  EXPECT_EQ(t.after("REPLACE INTO t(a) VALUES (3)"), "");
}

TEST(Trap03, NullInAPrimaryKey) {
  CaptureCopy t("CREATE TABLE t(k TEXT PRIMARY KEY, a UNIQUE)", {"k"});
  t.exec("INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('x', 3)");
  t.exec("DELETE FROM copy; INSERT INTO copy SELECT * FROM t; DELETE FROM _switchback_log");
  t.exec("REPLACE INTO t VALUES ('new', 1)");
  EXPECT_EQ(t.logged(), "NULL, 'new'");
}

TEST(Trap03, AColumnStoresWhatTheProbeSays) {
  SQLite::Database db(":memory:", SQLite::OPEN_READWRITE);
  AffinityProbe probe(db);
  db.exec("CREATE TABLE c(id INTEGER PRIMARY KEY, n, t TEXT, u DATETIME, i INT, r DOUBLE)");
  const char* const columns[] = {"n", "t", "u", "i", "r"};
  const char* const types[] = {"", "TEXT", "DATETIME", "INT", "DOUBLE"};
  const char* const values[] = {"7",
                                "-7",
                                "9223372036854775807",
                                "-9223372036854775808",
                                "9007199254740993",
                                "1.0",
                                "-0.0",
                                "0.1",
                                "0.30000000000000004",
                                "1e300",
                                "9e999",
                                "-9.2233720368547758e18",
                                "1e18",
                                "'007'",
                                "'7'",
                                "'1e3'",
                                "'1e400'",
                                "'1.0'",
                                "' 1 '",
                                "'+1'",
                                "'1.'",
                                "'.5'",
                                "'.'",
                                "'1e'",
                                "'-'",
                                "''",
                                "' '",
                                "'0x10'",
                                "'1 2'",
                                "'2024-11-25'",
                                "'12345678901234567890'",
                                "'Infinity'",
                                "'inf'",
                                "'0.1234567890123456789'",
                                "'9007199254740993'",
                                "'1_000'",
                                "x'303037'",
                                "NULL"};
  for (const char* value : values) {
    for (int i = 0; i < 5; ++i) {
      db.exec(fmt::format("REPLACE INTO c(id, {}) VALUES (1, {})", columns[i], value));
      Prepared stored(db, fmt::format("SELECT {} FROM c", columns[i]));
      Prepared given(db, fmt::format("SELECT {}", value));
      ASSERT_TRUE(stored.step() && given.step());
      const StoredValue expected = StoredValue::of_column(stored.get(), 0);
      std::string scratch;
      const StoredValue found = probe.stored(affinity_of(types[i], false),
                                             StoredValue::of_column(given.get(), 0), scratch);
      EXPECT_EQ(found.type, expected.type) << value << " in " << types[i];
      EXPECT_EQ(found.integer, expected.integer) << value << " in " << types[i];
      EXPECT_EQ(found.real, expected.real) << value << " in " << types[i];
      EXPECT_EQ(found.bytes, expected.bytes) << value << " in " << types[i];
    }
  }
}

}  // namespace
}  // namespace switchback
