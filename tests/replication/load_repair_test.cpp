// Loaded rows that an index or constraint refuses when it is made again.
#include "replication/load_repair.h"

#include <gtest/gtest.h>

#include "replication/load_objects.h"
#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

class LoadRepair : public test::SinkFixture {
 protected:
  /// Drops what the load drops, fills the table as the load would, and makes all of it again.
  void load(const std::string& name, const std::string& rows) {
    sink_.reset();
    const TableMap& map = table(name);
    connection_->exec("BEGIN");
    drop_for_load(*connection_, *mapping_, "app", map);
    connection_->exec("COMMIT");
    sql("SET switchback.applying = 'on'; " + rows);
    for (const bool primary : {true, false}) {
      for (const auto& object : dropped_objects(*connection_, *mapping_, "app", primary)) {
        make_object(*connection_, *mapping_, "app", object);
      }
    }
    EXPECT_EQ(sql("SELECT count(*) FROM switchback.dropped_object"), "0");
  }
  std::string entries() {
    return sql("SELECT key, sqlstate FROM switchback.quarantine ORDER BY 1");
  }
};

TEST_F(LoadRepair, AUniqueExpressionKeepsTheFirstOfItsRows) {
  make(
      "CREATE TABLE t (id int PRIMARY KEY, v text, n int);"
      "CREATE UNIQUE INDEX low ON t (lower(v), (n % 10)); COMMENT ON INDEX low IS 'of t'");
  load("t",
       "INSERT INTO t VALUES (1, 'a', 1), (2, 'A', 11), (3, 'A', 2), (4, NULL, 1), (5, NULL, 1), "
       "(6, 'a', 21)");
  EXPECT_EQ(sql("SELECT string_agg(id::text, '' ORDER BY id) FROM t"), "1345");
  EXPECT_EQ(entries(), "[\"2\"]|23505\n[\"6\"]|23505");
  EXPECT_EQ(sql("SELECT reason FROM switchback.quarantine LIMIT 1"),
            "another row has the same key in PostgreSQL (low)");
  EXPECT_EQ(sql("SELECT obj_description('low'::regclass)"), "of t");
}

TEST_F(LoadRepair, APartialIndexJudgesOnlyItsOwnRows) {
  make(
      "CREATE TABLE \"a b\" (id int PRIMARY KEY, v text, gone bool);"
      "CREATE UNIQUE INDEX ON \"a b\" (v) WHERE NOT gone AND v <> '; COMMENT ON INDEX '");
  load("a b",
       "INSERT INTO \"a b\" VALUES (1, 'x', false), (2, 'x', true), (3, 'x', true), (4, 'x', "
       "false), (5, 'y', false)");
  EXPECT_EQ(sql("SELECT string_agg(id::text, '' ORDER BY id) FROM \"a b\""), "1235");
  EXPECT_EQ(entries(), "[\"4\"]|23505");
}

// Each orphan that goes makes the next one.
TEST_F(LoadRepair, AChainOfOrphansGoesToItsEnd) {
  make(
      "CREATE TABLE t (id int, p int, PRIMARY KEY (id));"
      "ALTER TABLE t ADD FOREIGN KEY (p) REFERENCES t");
  load("t",
       "INSERT INTO t SELECT i, i - 1 FROM generate_series(1, 9) i; INSERT INTO t VALUES (20)");
  EXPECT_EQ(sql("SELECT string_agg(id::text, ' ') FROM t"), "20");
  EXPECT_EQ(sql("SELECT count(*) FROM switchback.quarantine WHERE sqlstate = '23503'"), "9");
}

}  // namespace
}  // namespace switchback
