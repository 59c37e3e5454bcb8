// Dropping a slot whose reader has only just gone, and one that is not ours.
#include "replication/slot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "replication/postgres_endpoint.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

using std::chrono::seconds;

TEST(Slot, IsDroppedOnceItsReaderHasGone) {
  const std::string conninfo = test::PostgresCluster::shared().fresh_database();
  Connection sql = Connection::open(conninfo, "test");
  Connection other = Connection::open(conninfo, "test");
  sql.exec(kTestPostgresSchema);
  const auto endpoint = open_postgres(
      {.conninfo = conninfo, .store = "app", .drop_constraints = true}, test_mapping());
  endpoint->install();
  const auto gate = endpoint->make_gate("all");
  gate->make_ready_to_open();
  auto source = endpoint->make_source();
  source->start({});
  const std::string slot =
      sql.exec("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
          .string(0, 0);
  const auto until = [&](const std::string& condition) {
    const Deadline deadline = Deadline::in(seconds(20));
    while (other.exec("SELECT 1 WHERE EXISTS (" + condition + ")").rows() == 0) {
      ASSERT_FALSE(deadline.passed()) << condition;
    }
  };
  until("SELECT FROM pg_replication_slots WHERE active AND slot_name = '" + slot + "'");
  const std::jthread reader([&] {
    until("SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.01)' AND pid = " +
          std::to_string(PQbackendPID(sql.raw())));
    source.reset();
  });
  drop_slot(sql, slot);
  EXPECT_FALSE(inspect_slot(sql, slot).exists);
}

// Slots are the cluster's: a staging database beside the real one, both with one configuration.
TEST(Slot, OfAnotherDatabaseIsLeftAlone) {
  struct Bridge {
    std::string conninfo = test::PostgresCluster::shared().fresh_database();
    std::unique_ptr<Endpoint> endpoint;
    Bridge() {
      Connection::open(conninfo, "test").exec(kTestPostgresSchema);
      endpoint = open_postgres({.conninfo = conninfo, .store = "app", .drop_constraints = true},
                               test_mapping());
      endpoint->install();
    }
  };
  Bridge real, staging;
  real.endpoint->make_gate("all")->make_ready_to_open();
  Connection sql = Connection::open(real.conninfo, "test");
  const std::string slot =
      sql.exec("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
          .string(0, 0);
  staging.endpoint->make_gate("all")->settle_closed();
  EXPECT_TRUE(inspect_slot(sql, slot).is_here);
  try {
    staging.endpoint->make_gate("all")->make_ready_to_open();
    ADD_FAILURE() << "it took a slot of another database for its own";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRefused);
    EXPECT_THAT(error.what(), testing::HasSubstr("another database of this server has a slot"));
  }
  const auto findings = staging.endpoint->check();
  EXPECT_THAT(findings, testing::Contains(testing::Field(
                            &Finding::what, testing::HasSubstr("has a slot named " + slot))));
  staging.endpoint->remove();
  EXPECT_TRUE(inspect_slot(sql, slot).is_here);
  real.endpoint->remove();
  EXPECT_FALSE(inspect_slot(sql, slot).exists);
}

}  // namespace
}  // namespace switchback
