// Preflight on a real server: a superuser, a role without rights, and a role made by
// ops/grants.sql.
#include "replication/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replication/connection.h"
#include "replication/install.h"
#include "replication/load_objects.h"
#include "replication/postgres_endpoint.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

std::string failures(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings) {
    if (finding.level == Finding::Level::kFailure)
      out += finding.what + " => " + finding.fix + "\n";
  }
  return out;
}

class CheckTest : public ::testing::Test {
 protected:
  CheckTest() : conninfo_(test::fresh_database()), sql_(Connection::open(conninfo_, "test")) {
    sql_.exec("CREATE ROLE owner_x; CREATE ROLE weak LOGIN;");
    sql_.exec("GRANT ALL ON SCHEMA public TO owner_x; SET ROLE owner_x");
    sql_.exec(kTestPostgresSchema);
    sql_.exec("RESET ROLE");
  }
  ~CheckTest() override {
    for (const char* role : {"owner_x", "weak"}) {
      sql_.exec(std::string("DROP OWNED BY ") + role + " CASCADE; DROP ROLE " + role);
    }
  }
  const std::string conninfo_;
  Connection sql_;
};

TEST_F(CheckTest, ASuperuserOnAReadyServerPasses) {
  EXPECT_EQ(failures(check_postgres(conninfo_, *test_mapping(), "app")), "");
}

TEST_F(CheckTest, EachMissingRightIsNamedWithItsCure) {
  const std::string found =
      failures(check_postgres(conninfo_ + " user=weak", *test_mapping(), "app"));
  EXPECT_THAT(found, ::testing::HasSubstr("ALTER ROLE \"weak\" REPLICATION"));
  EXPECT_THAT(found, ::testing::HasSubstr("GRANT CREATE ON DATABASE"));
  EXPECT_THAT(found, ::testing::HasSubstr("GRANT \"owner_x\" TO \"weak\""));
}

TEST_F(CheckTest, AMissingTableIsYetToBeMadeAndAMissingKeyIsNamed) {
  sql_.exec("DROP TABLE public.child; ALTER TABLE public.parent DROP CONSTRAINT parent_pkey");
  const std::string found = failures(check_postgres(conninfo_, *test_mapping(), "app"));
  // The mapping has it, so the schema file makes it: `run` does, before anything else.
  EXPECT_THAT(found, ::testing::Not(::testing::HasSubstr("public.child")));
  EXPECT_THAT(found, ::testing::HasSubstr("ADD PRIMARY KEY (id)"));
}

TEST_F(CheckTest, AKeyThatIsDownForTheLoadIsNotMissing) {
  const auto mapping = test_mapping();
  install_postgres(sql_, *mapping, "app");
  sql_.exec("BEGIN");
  for (const auto& table : mapping->tables) drop_for_load(sql_, *mapping, "app", table);
  sql_.exec("COMMIT");
  EXPECT_EQ(failures(check_postgres(conninfo_, *mapping, "app")), "");
  remove_postgres(sql_, *mapping, "app");
}

TEST_F(CheckTest, ADeferrableKeyIsNamedWithItsCure) {
  sql_.exec("ALTER TABLE public.child DROP CONSTRAINT child_pkey, ADD PRIMARY KEY (id) DEFERRABLE");
  EXPECT_EQ(failures(check_postgres(conninfo_, *test_mapping(), "app")),
            "public.child: its primary key is DEFERRABLE => ALTER TABLE \"public\".\"child\" DROP "
            "CONSTRAINT \"child_pkey\", ADD CONSTRAINT \"child_pkey\" PRIMARY KEY (\"id\");\n");
}

TEST_F(CheckTest, TheRightsOfGrantsSqlAreEnoughForAWholeLife) {
  sql_.exec(
      "ALTER ROLE weak REPLICATION; GRANT owner_x TO weak; GRANT pg_read_all_stats TO weak;"
      "GRANT USAGE, CREATE ON SCHEMA public TO weak");
  sql_.exec(
      "DO $$ BEGIN EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO weak', "
      "current_database()); END $$");
  const auto endpoint = open_postgres(
      {.conninfo = conninfo_ + " user=weak", .store = "app", .drop_constraints = true},
      test_mapping());
  EXPECT_EQ(failures(endpoint->check()), "");
  endpoint->install();
  EXPECT_TRUE(endpoint->plan_install().empty());
  const auto gate = endpoint->make_gate("all");
  EXPECT_TRUE(gate->obstacles().empty());
  gate->make_ready_to_open();
  ASSERT_TRUE(gate->prepare(2, {}, Deadline::in(std::chrono::seconds(5))));
  gate->open(2, {});
  ASSERT_TRUE(gate->lock(Deadline::in(std::chrono::seconds(5))));
  gate->mark();
  ASSERT_TRUE(gate->close(3, Deadline::in(std::chrono::seconds(5))));
  gate->settle_closed();
  endpoint->remove();
  EXPECT_EQ(sql_.exec("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal").integer(0, 0), 0);
  EXPECT_TRUE(sql_.exec("SELECT to_regnamespace('switchback')").is_null(0, 0));
}

}  // namespace
}  // namespace switchback
