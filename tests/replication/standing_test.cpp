#include "replication/standing.h"

#include <gtest/gtest.h>

#include "replication/fence.h"
#include "replication/names.h"
#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

class Standing : public test::SinkFixture {
 protected:
  std::map<std::string, std::string> now() {
    Connection sql = Connection::open(conninfo_, "test");
    return postgres_standing(sql, *mapping_, table("t").store);
  }
  /// Names of what is not as it was; empty if all is.
  std::string changed(const std::map<std::string, std::string>& before) {
    std::string out;
    for (const auto& [what, how] : now()) {
      if (before.count(what) == 0 || before.at(what) != how) out += what + ";";
    }
    return out;
  }
};

TEST_F(Standing, OrdinaryWritesAndVacuumLeaveItAsItIs) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text)");
  const auto before = now();
  EXPECT_EQ(before.size(), 4u);
  sql("BEGIN; SET LOCAL switchback.applying = 'on'; INSERT INTO t SELECT i, 'v' FROM "
      "generate_series(1, 1000) i; COMMIT");
  sql("ANALYZE t");
  sql("VACUUM (FREEZE) t");
  sql("VACUUM (FREEZE) pg_catalog.pg_trigger");
  EXPECT_EQ(changed(before), "");
}

TEST_F(Standing, WhatWasPutBackShowsAllTheSame) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text)");
  auto before = now();
  sql("ALTER TABLE t DISABLE TRIGGER " + std::string(kFenceRow));
  sql("ALTER TABLE t ENABLE ALWAYS TRIGGER " + std::string(kFenceRow));
  EXPECT_EQ(changed(before), "the fence of t;");

  before = now();
  const std::string publication = names_for(mapping_->bridge, table("t").store).publication;
  sql("ALTER PUBLICATION " + publication + " DROP TABLE t");
  EXPECT_NE(now().size(), before.size());
  sql("ALTER PUBLICATION " + publication + " ADD TABLE t");
  EXPECT_EQ(changed(before), "the publication of t;");

  before = now();
  sql("ALTER TABLE t ALTER COLUMN v TYPE varchar(9) USING upper(v)");
  EXPECT_EQ(changed(before), "the columns of t;the stored rows of t;");
}

TEST_F(Standing, PartitionsCount) {
  make(
      "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10)");
  const auto before = now();
  sql("ALTER TABLE t_low DISABLE TRIGGER " + std::string(kFenceStatement));
  sql("ALTER TABLE t_low ENABLE ALWAYS TRIGGER " + std::string(kFenceStatement));
  EXPECT_EQ(changed(before), "the fence of t_low;");
}

}  // namespace
}  // namespace switchback
