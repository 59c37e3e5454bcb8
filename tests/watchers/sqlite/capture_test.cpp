// Plays random statement histories and checks the promise of capture: a copy that is brought up to
// date by nothing but "for each logged key, take the row as it is now" equals the table.
#include "watchers/sqlite/capture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <random>

#include "state/base/sql_quote.h"
#include "tests/watchers/sqlite/capture_copy.h"
#include "watchers/sqlite/schema.h"

namespace switchback {
namespace {

struct Shape {
  const char* name;
  const char* schema;            // of table t
  std::vector<const char*> key;  // mapped key columns
  std::vector<const char*> columns;
  const char* rowid = nullptr;  // if statements may name the rowid
};

const std::vector<Shape> kShapes = {
    {"text_key", "CREATE TABLE t(k TEXT PRIMARY KEY, a, b)", {"k"}, {"k", "a", "b"}, "rowid"},
    {"integer_key", "CREATE TABLE t(k INTEGER PRIMARY KEY, a UNIQUE, b)", {"k"}, {"k", "a", "b"}},
    {"secondary_unique",
     "CREATE TABLE t(k INTEGER PRIMARY KEY, a, b, c, UNIQUE(a, b)); CREATE UNIQUE INDEX u ON t(c)",
     {"k"},
     {"k", "a", "b", "c"}},
    {"nocase_key", "CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, a)", {"k"}, {"k", "a"}},
    {"collated_index",
     "CREATE TABLE t(k INTEGER PRIMARY KEY, a TEXT); CREATE UNIQUE INDEX u ON t(a COLLATE NOCASE)",
     {"k"},
     {"k", "a"}},
    {"rtrim_index",
     "CREATE TABLE t(k INTEGER PRIMARY KEY, a TEXT COLLATE RTRIM UNIQUE)",
     {"k"},
     {"k", "a"}},
    {"partial",
     "CREATE TABLE t(k INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(a) WHERE b > 1 AND "
     "t.a IS NOT 'x'",
     {"k"},
     {"k", "a", "b"}},
    {"expression",
     "CREATE TABLE t(k INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(lower(a), b + 1 "
     "DESC)",
     {"k"},
     {"k", "a", "b"}},
    {"defaults",
     "CREATE TABLE t(k INTEGER PRIMARY KEY, a INT NOT NULL DEFAULT 1 UNIQUE,"
     " b TEXT NOT NULL DEFAULT x UNIQUE, c NOT NULL DEFAULT \"y\")",
     {"k"},
     {"k", "a", "b", "c"}},
    {"without_rowid",
     "CREATE TABLE t(a, k, b UNIQUE, PRIMARY KEY(k, a)) WITHOUT ROWID",
     {"k", "a"},
     {"k", "a", "b"}},
    {"composite",
     "CREATE TABLE t(a, k TEXT, b, PRIMARY KEY(k, a), UNIQUE(b))",
     {"k", "a"},
     {"k", "a", "b"},
     "oid"},
    {"key_is_not_the_primary_key",
     "CREATE TABLE t(id INTEGER PRIMARY KEY, k NOT NULL UNIQUE, a UNIQUE)",
     {"k"},
     {"id", "k", "a"}},
    {"generated",
     "CREATE TABLE t(k INTEGER PRIMARY KEY, a, g AS (a || 'x') UNIQUE)",
     {"k"},
     {"k", "a"}},
    {"typeless_key", "CREATE TABLE t(k PRIMARY KEY, a UNIQUE)", {"k"}, {"k", "a"}, "rowid"},
    {"strict_any_key",
     "CREATE TABLE t(k ANY, a INT, b ANY UNIQUE, PRIMARY KEY(k, a)) STRICT, WITHOUT ROWID",
     {"k", "a"},
     {"k", "a", "b"}},
    {"shadowed_rowid",
     "CREATE TABLE t(k TEXT PRIMARY KEY, rowid UNIQUE, a)",
     {"k"},
     {"k", "rowid", "a"},
     "_rowid_"},
};

class Player {
 public:
  Player(const Shape& shape, unsigned seed)
      : shape_(shape),
        random_(seed),
        copy_(shape.schema, {shape.key.begin(), shape.key.end()}),
        db_(copy_.database()) {
    if (below(2) == 0) db_.exec("PRAGMA recursive_triggers = ON");
  }

  /// The difference between table and copy after a history, empty if there is none.
  std::string play() {
    std::string history;
    for (int batch = 0; batch < 4; ++batch) {
      const bool grouped = below(2) == 0;
      if (grouped) db_.exec("BEGIN");
      for (int i = 0; i < 8; ++i) {
        const std::string sql = statement();
        try {
          db_.exec(sql);
          history += sql + ";\n";
        } catch (const SQLite::Exception&) {
          history += "-- failed: " + sql + ";\n";
        }
      }
      if (sqlite3_get_autocommit(db_.getHandle()) == 0)
        db_.exec(below(5) == 0 ? "ROLLBACK" : "COMMIT");
      copy_.catch_up();
      const std::string difference = copy_.difference();
      if (!difference.empty()) return difference + "\nafter\n" + history;
    }
    return "";
  }

 private:
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }

  std::string value() {
    static const std::vector<std::string> kValues = {
        "NULL", "1", "2", "3", "'1'", "'a'", "'A'", "'b'", "'a '", "'x'", "2.0", "1.0", "-1"};
    return kValues[below(static_cast<std::uint32_t>(kValues.size()))];
  }
  std::string conflict() {
    static const std::vector<std::string> kClauses = {"",           " OR REPLACE", " OR REPLACE",
                                                      " OR IGNORE", " OR FAIL",    " OR ROLLBACK"};
    return kClauses[below(static_cast<std::uint32_t>(kClauses.size()))];
  }
  std::string any_column() {
    return shape_.columns[below(static_cast<std::uint32_t>(shape_.columns.size()))];
  }

  std::string insert() {
    std::string names, values;
    const std::uint32_t rows = 1 + below(3);
    std::vector<std::string> tuples(rows);
    for (const char* column : shape_.columns) {
      if (below(6) == 0) continue;
      names += (names.empty() ? "" : ", ") + std::string(column);
      for (auto& tuple : tuples) tuple += (tuple.empty() ? "" : ", ") + value();
    }
    if (shape_.rowid != nullptr && below(3) == 0) {
      names += (names.empty() ? "" : ", ") + std::string(shape_.rowid);
      for (auto& tuple : tuples) tuple += (tuple.empty() ? "" : ", ") + std::to_string(below(5));
    }
    if (names.empty()) return "INSERT" + conflict() + " INTO t DEFAULT VALUES";
    std::string sql = "INSERT" + conflict() + " INTO t(" + names + ") VALUES ";
    for (std::uint32_t i = 0; i < rows; ++i) sql += (i == 0 ? "(" : ", (") + tuples[i] + ")";
    if (below(4) == 0) {
      const std::string column = any_column();
      sql += below(2) == 0 ? " ON CONFLICT DO NOTHING"
                           : fmt::format(" ON CONFLICT DO UPDATE SET {0} = excluded.{0}", column);
    }
    return sql;
  }

  std::string statement() {
    switch (below(8)) {
      case 0:
        return "DELETE FROM t WHERE " + any_column() + " = " + value();
      case 1:
        return below(10) == 0 ? "DELETE FROM t" : insert();
      case 2:
      case 3:
      case 4: {
        const bool move = shape_.rowid != nullptr && below(4) == 0;
        const std::string set =
            move ? fmt::format("{} = {}", shape_.rowid, below(5)) : any_column() + " = " + value();
        return "UPDATE" + conflict() + " t SET " + set + ", " + any_column() + " = " +
               any_column() + " WHERE " + any_column() + " >= " + value();
      }
      default:
        return insert();
    }
  }

  const Shape& shape_;
  std::mt19937 random_;
  CaptureCopy copy_;
  SQLite::Database& db_;
};

class Capture : public testing::TestWithParam<Shape> {};

TEST_P(Capture, DirtyKeysReproduceTheTable) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    const std::string difference = Player(GetParam(), seed).play();
    ASSERT_EQ(difference, "") << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Capture, testing::ValuesIn(kShapes),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(CaptureText, QuotesNamesAndSkipsWhatCannotDisplace) {
  SQLite::Database db(":memory:", SQLite::OPEN_READWRITE);
  db.exec("CREATE TABLE \"odd \"\" name\"(\"k'ey\" INTEGER PRIMARY KEY, \"select\" TEXT)");
  TableMap map;
  map.old_table = "odd \" name";
  map.columns.emplace_back().old_name = "k'ey";
  map.key_width = 1;
  const auto triggers = capture_triggers(map, read_schema(db).at(0));
  ASSERT_EQ(triggers.size(), 4u);  // its only unique key is the mapped one
  db.exec(create_log_sql(1));
  for (const auto& trigger : triggers) db.exec(trigger.create);
  db.exec(
      "INSERT INTO \"odd \"\" name\" VALUES (5, 'x'); UPDATE \"odd \"\" name\" SET \"k'ey\" = 6");
  EXPECT_EQ(
      db.execAndGet("SELECT group_concat(k1) FROM (SELECT k1 FROM _switchback_log ORDER BY k1)")
          .getString(),
      "5,5,6");
}

}  // namespace
}  // namespace switchback
