// What PostgreSQL's gate looks at before a flip: each check refuses, names what is in the way and
// says what cures it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <set>

#include "replication/gate.h"
#include "replication/install.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class GateChecksTest : public ::testing::Test {
 protected:
  GateChecksTest()
      : conninfo_(test::fresh_database()),
        mapping_(test_mapping()),
        sql_(Connection::open(conninfo_, "switchback test")) {
    sql_.exec(kTestPostgresSchema);
    sql_.exec("DROP ROLE IF EXISTS app");
    sql_.exec(
        "CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app;"
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app");
  }
  ~GateChecksTest() override {
    Connection cleanup = Connection::open(conninfo_, "cleanup");
    cleanup.exec("DROP OWNED BY app; DROP ROLE app");
    // Slots belong to the cluster, which other tests use, too.
    cleanup.exec(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
        "WHERE database = current_database()");
  }
  Connection app() const { return Connection::open(conninfo_ + " user=app", "application"); }
  PostgresGate gate() const { return PostgresGate(conninfo_, mapping_, "app", "all"); }

  const std::string conninfo_;
  const std::shared_ptr<const Mapping> mapping_;
  Connection sql_;
};

TEST_F(GateChecksTest, ObstaclesNameTheSessionAndTheCure) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  one.make_ready_to_open();
  one.open(2, {});
  Connection idle = app();
  idle.exec("BEGIN; INSERT INTO public.parent VALUES (1, 'a')");
  const auto until = Deadline::in(seconds(10));
  std::vector<Obstacle> found;
  while (found.empty() && !until.passed()) found = one.obstacles();
  ASSERT_FALSE(found.empty());
  EXPECT_THAT(found[0].what, HasSubstr("application"));
  EXPECT_THAT(found[0].cure, HasSubstr("pg_terminate_backend"));
  sql_.exec("ALTER PUBLICATION " +
            sql_.exec("SELECT quote_ident(pubname) FROM pg_publication").string(0, 0) +
            " DROP TABLE public.child");
  found = one.obstacles();
  EXPECT_THAT(found.back().what, HasSubstr("public.child is not in the publication"));
}

TEST_F(GateChecksTest, EachCheckIsNamedAlsoWhereAllIsWell) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  const auto names = [&] {
    std::set<std::string> found;
    for (const GateCheck& check : one.look()) {
      EXPECT_TRUE(check.ok) << check.value;
      EXPECT_FALSE(check.value.empty() || check.limit.empty()) << check.name;
      found.insert(check.name);
    }
    return found;
  };
  std::set<std::string> both = {
      "long transactions", "prepared transactions", "locks held idle", "anti-wraparound vacuum",
      "index builds",      "VACUUM by hand",        "fences",          "publication"};
  std::set<std::string> to_open = both;
  to_open.insert(
      {"transactions elsewhere", "prepared elsewhere", "sequences", "free slot", "wal_level"});
  EXPECT_EQ(names(), to_open);
  one.make_ready_to_open();
  one.open(2, {});
  both.insert("slot");
  EXPECT_EQ(names(), both);
}

TEST_F(GateChecksTest, ASequenceThatMayNotBeSetRefuses) {
  install_postgres(sql_, *mapping_, "app");
  sql_.exec("ALTER TABLE public.child ADD COLUMN number serial");
  const auto refused = [&](const std::string& role) {
    Connection as = Connection::open(conninfo_, "somebody");
    as.exec("SET ROLE " + role);
    return obstacles_of(look_at_gates(as, *mapping_, "app", {kParent, kChild}));
  };
  sql_.exec(
      "GRANT USAGE ON SCHEMA switchback TO app; GRANT SELECT ON ALL TABLES IN SCHEMA switchback TO "
      "app");
  const auto found = refused("app");
  ASSERT_FALSE(found.empty());
  EXPECT_THAT(found[0].what, HasSubstr("public.child_number_seq cannot be set"));
  EXPECT_EQ(found[0].cure, "GRANT UPDATE ON SEQUENCE public.child_number_seq TO app;");
  sql_.exec(found[0].cure);
  EXPECT_TRUE(refused("app").empty());
}

TEST_F(GateChecksTest, ASlotThatIsGoneAndSlotsThatAreAllTakenRefuse) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  sql_.exec(
      "SELECT pg_create_physical_replication_slot('taken_' || n) FROM generate_series(1, "
      "(SELECT setting::int FROM pg_settings WHERE name = 'max_replication_slots') - "
      "(SELECT count(*)::int FROM pg_replication_slots)) n");
  const auto found = one.obstacles();
  sql_.exec(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
      "WHERE slot_name LIKE 'taken\\_%'");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].what, HasSubstr("slots of the cluster are taken"));
  EXPECT_TRUE(one.obstacles().empty());
  one.open(2, {});
  ASSERT_EQ(one.obstacles().size(), 1U);
  EXPECT_THAT(one.obstacles()[0].what, HasSubstr("is gone"));
}

TEST_F(GateChecksTest, WhatIsOpenForLongRefusesHereAndInOtherDatabases) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  const std::string elsewhere = test::fresh_database();
  std::vector<Connection> open;
  for (const std::string& where : {conninfo_, elsewhere}) {
    open.push_back(Connection::open(where, "for long"));
    open.back().exec("CREATE TABLE public.somewhere (n int)");
    open.back().exec("BEGIN");
    open.back().exec("INSERT INTO public.somewhere VALUES (1)");
  }
  const auto refusing = [&] {
    std::set<std::string> names;
    for (const GateCheck& check : one.look()) {
      if (check.ok) continue;
      EXPECT_THAT(check.cure, HasSubstr("pg_terminate_backend"));
      names.insert(check.name);
    }
    return names;
  };
  const std::set<std::string> both{"long transactions", "transactions elsewhere"};
  const Deadline until = Deadline::in(seconds(30));
  while (refusing() != both && !until.passed()) {
  }
  EXPECT_EQ(refusing(), both);
  for (Connection& writer : open) writer.exec("ROLLBACK");
  EXPECT_EQ(refusing(), std::set<std::string>());
}

TEST_F(GateChecksTest, AVacuumByHandAndAnIndexBuildRefuse) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  sql_.exec(
      "SET switchback.applying = 'on'; INSERT INTO public.parent (id, name) "
      "SELECT n, repeat('x', 500) FROM generate_series(1, 2000) n");
  const auto wait_for = [&](const char* what) {
    const Deadline until = Deadline::in(seconds(60));
    std::string all;
    while (all.find(what) == all.npos && !until.passed()) {
      all.clear();
      for (const Obstacle& each : one.obstacles()) all += each.what + " => " + each.cure + "\n";
    }
    EXPECT_THAT(all, HasSubstr(what));
    EXPECT_THAT(all, HasSubstr("pg_cancel_backend"));
  };
  Connection vacuum = Connection::open(conninfo_, "vacuum");
  const std::string pid = vacuum.exec("SELECT pg_backend_pid()").string(0, 0);
  vacuum.exec("SET vacuum_cost_delay = 100");
  vacuum.exec("SET vacuum_cost_limit = 1");
  auto vacuuming = std::async(std::launch::async, [&] {
    try {
      vacuum.exec("VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) public.parent");
    } catch (const Error&) {
      // it is cancelled below
    }
  });
  wait_for("VACUUM");
  sql_.exec("SELECT pg_cancel_backend(" + pid + ")");
  vacuuming.get();
  // CONCURRENTLY waits for every transaction that may still use the table.
  Connection holder = Connection::open(conninfo_, "holder");
  holder.exec(
      "BEGIN; SELECT count(*) FROM public.parent; LOCK TABLE public.parent IN ROW EXCLUSIVE MODE");
  Connection builder = Connection::open(conninfo_, "builder");
  const std::string builds = builder.exec("SELECT pg_backend_pid()").string(0, 0);
  auto building = std::async(std::launch::async, [&] {
    try {
      builder.exec("CREATE INDEX CONCURRENTLY some_index ON public.parent (name)");
    } catch (const Error&) {
      // likewise
    }
  });
  wait_for("CREATE INDEX");
  sql_.exec("SELECT pg_cancel_backend(" + builds + ")");
  building.get();
  holder.exec("ROLLBACK");
}

}  // namespace
}  // namespace switchback
