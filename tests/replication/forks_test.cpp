// A PostgreSQL that is no longer the one a position was made in. Each test has a cluster of its
// own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "replication/gate.h"
#include "replication/postgres_endpoint.h"
#include "state/base/error.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

using std::chrono::seconds;
using test::PostgresCluster;
using test::StopMode;
using ::testing::HasSubstr;

class Trap10_Forks : public ::testing::Test {
 protected:
  /// In reverse, with a position that SQLite would hold.
  void set_up(std::vector<std::string> settings = {}) {
    cluster_.emplace(test::ClusterOptions{.settings = std::move(settings)});
    conninfo_ = cluster_->fresh_database();
    cluster_->sql(conninfo_, kTestPostgresSchema);
    endpoint_ = open_postgres({.conninfo = conninfo_, .store = "app", .drop_constraints = true},
                              test_mapping());
    endpoint_->install();
    auto gate = endpoint_->make_gate("all");
    gate->make_ready_to_open();
    gate->open(2, {});
  }
  void put(int id) {
    cluster_->sql(conninfo_, "INSERT INTO public.parent VALUES (" + std::to_string(id) + ", 'a')");
  }
  /// Pulls up to a marker; the position there.
  Position pull_all() {
    auto source = endpoint_->make_source();
    source->start(held_);
    const auto gate = endpoint_->make_gate("all");
    EXPECT_TRUE(gate->lock(Deadline::in(seconds(20))));
    const Position mark = gate->mark();
    gate->unlock();
    Chunk chunk;
    const Deadline deadline = Deadline::in(seconds(20));
    while (!held_.reaches(mark) && !deadline.passed()) {
      if (source->pull(chunk, deadline, {}) == Pull::kChunk && chunk.boundary) {
        held_ = *chunk.boundary;
      }
    }
    EXPECT_TRUE(held_.reaches(mark));
    return held_;
  }
  /// What start() says, which must be that a history forked.
  std::string refusal() {
    const Deadline deadline = Deadline::in(seconds(20));
    for (;;) {
      try {
        endpoint_->make_source()->start(held_);
        return "started";
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::kBusy && !deadline.passed()) continue;  // its old reader
        EXPECT_EQ(error.kind(), ErrorKind::kHistory) << error.what();
        EXPECT_EQ(error.retry(), Retry::kNever);
        EXPECT_FALSE(error.detail().next.empty());
        return error.what();
      }
    }
  }
  void copy(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::remove_all(to);
    ASSERT_EQ(std::system(("cp -a " + from.string() + " " + to.string()).c_str()), 0);
  }
  std::filesystem::path backup() const { return cluster_->folder() / "backup"; }

  std::optional<PostgresCluster> cluster_;
  std::string conninfo_;
  std::unique_ptr<Endpoint> endpoint_;
  Position held_;
};

TEST_F(Trap10_Forks, ACopyOfTheClusterFromBefore) {
  set_up();
  put(1);
  cluster_->stop(StopMode::kFast);
  copy(cluster_->data(), backup());
  cluster_->start();
  for (int id = 2; id < 200; ++id) put(id);
  pull_all();
  cluster_->stop(StopMode::kFast);
  copy(backup(), cluster_->data());
  cluster_->start();
  EXPECT_THAT(refusal(), HasSubstr("it was set back"));
}

TEST_F(Trap10_Forks, APromotedStandby) {
  set_up();
  put(1);
  pull_all();
  cluster_->stop(StopMode::kFast);
  copy(cluster_->data() / "PG_VERSION", cluster_->data() / "standby.signal");
  cluster_->start();
  cluster_->sql(conninfo_, "SELECT pg_promote()");
  EXPECT_THAT(refusal(), HasSubstr("not the PostgreSQL that the old store's position was made in"));
}

TEST_F(Trap10_Forks, ASlotThatTheServerGaveUp) {
  set_up({"max_slot_wal_keep_size = 1MB", "min_wal_size = 32MB", "max_wal_size = 32MB"});
  put(1);
  pull_all();
  for (int round = 0; round < 4; ++round) {
    cluster_->sql(conninfo_, "SELECT pg_switch_wal()");
    put(10 + round);
  }
  cluster_->sql(conninfo_, "CHECKPOINT");
  ASSERT_EQ(cluster_->sql(conninfo_, "SELECT wal_status FROM pg_replication_slots"), "lost");
  EXPECT_THAT(refusal(), HasSubstr("changes are missing"));
}

TEST_F(Trap10_Forks, ASlotThatWasMadeAgain) {
  set_up();
  put(1);
  pull_all();
  const std::string slot = cluster_->sql(conninfo_, "SELECT slot_name FROM pg_replication_slots");
  const Deadline deadline = Deadline::in(seconds(20));
  while (cluster_->sql(conninfo_, "SELECT active FROM pg_replication_slots") == "t" &&
         !deadline.passed()) {
  }
  cluster_->sql(conninfo_, "SELECT pg_drop_replication_slot('" + slot + "')");
  EXPECT_THAT(refusal(), HasSubstr("the slot is gone"));
  put(2);
  cluster_->sql(conninfo_, "SELECT pg_create_logical_replication_slot('" + slot + "', 'pgoutput')");
  EXPECT_THAT(refusal(), HasSubstr("will not be sent again"));
}

}  // namespace
}  // namespace switchback
