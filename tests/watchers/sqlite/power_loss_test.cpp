// Power failures in a process of its own (power_loss_child): what was said to be durable must be
// there afterwards, and what is there must be whole. Without syncs the same shim must lose or tear
// something: a simulation that cannot lose proves nothing.
#include "watchers/sqlite/power_loss.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "tests/watchers/sqlite/target_fixture.h"

namespace switchback {
namespace {

struct Story {
  bool power_failed = false;
  std::uint64_t durable = 0;  // the last the child claimed
};

Story run_child(const std::string& arguments, const std::string& failpoint, int seed) {
  const std::string command =
      fmt::format("SWITCHBACK_POWER_LOSS=1 SWITCHBACK_POWER_SEED={} SWITCHBACK_FAILPOINT={} {} {}",
                  seed, failpoint, POWER_LOSS_CHILD, arguments);
  FILE* child = ::popen(("exec env " + command).c_str(), "r");
  Story story;
  unsigned long long number = 0;
  while (std::fscanf(child, "durable %llu ", &number) == 1) story.durable = number;
  const int status = ::pclose(child);
  story.power_failed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  return story;
}

std::string health(const std::filesystem::path& path) {
  try {
    SQLite::Database database(path.string(), SQLite::OPEN_READWRITE, 5'000);
    return database.execAndGet("PRAGMA integrity_check").getString();
  } catch (const SQLite::Exception& error) {
    return error.what();
  }
}

class PowerLossTest : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Modes, PowerLossTest, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

// Returns how many of the claimed transactions are gone; a broken database counts as one.
std::uint64_t lost_rows(const TargetFixture& target, const Story& story) {
  if (health(target.path()) != "ok") return 1;
  return story.durable - std::stoull(target.ask("SELECT count(*) FROM person"));
}

TEST_P(PowerLossTest, WithoutSyncsSomethingIsLost) {
  std::uint64_t lost = 0;
  for (int seed = 1; seed <= 4; ++seed) {
    const TargetFixture target(GetParam());
    const Story story = run_child("plain " + target.path().string() + " OFF",
                                  "sqlite.sink.commit.after=power@40", seed);
    ASSERT_TRUE(story.power_failed);
    ASSERT_EQ(story.durable, 40u);
    lost += lost_rows(target, story);
  }
  EXPECT_GT(lost, 0u) << "the shim never loses anything";
}

TEST_P(PowerLossTest, WithSyncsNothingIsLost) {
  for (int seed = 1; seed <= 6; ++seed) {
    const TargetFixture target(GetParam());
    const Story story =
        run_child("plain " + target.path().string() + " EXTRA",
                  fmt::format("sqlite.sink.commit.after=power@{}", 5 + 7 * seed), seed);
    ASSERT_TRUE(story.power_failed);
    EXPECT_EQ(health(target.path()), "ok") << "seed " << seed;
    EXPECT_EQ(lost_rows(target, story), 0u) << "seed " << seed;
  }
}

TEST_P(PowerLossTest, WhatAnotherProcessSyncedStays) {
  for (const std::string part : {"neighbour ", "looker "}) {
    for (int seed = 1; seed <= 8; ++seed) {
      const TargetFixture target(GetParam());
      const Story story =
          run_child(part + target.path().string(), "sqlite.sink.commit.after=power", seed);
      ASSERT_TRUE(story.power_failed);
      ASSERT_EQ(story.durable, 2u);
      EXPECT_EQ(lost_rows(target, story), 0u) << part << "seed " << seed;
    }
  }
}

TEST_P(PowerLossTest, SinkKeepsWhatItCalledDurableAndItsPositionFitsItsRows) {
  const std::vector<std::string> points =
      GetParam() == "wal" ? std::vector<std::string>{"sqlite.sink.commit.before=power@30",
                                                     "sqlite.sink.commit.after=power@31",
                                                     "sqlite.sink.sync.before=power@9",
                                                     "sqlite.sink.sync.after=power@9"}
                          : std::vector<std::string>{"sqlite.sink.commit.before=power@30",
                                                     "sqlite.sink.commit.after=power@31"};
  for (const auto& point : points) {
    for (int seed = 1; seed <= 6; ++seed) {
      const TargetFixture target(GetParam());
      const Story story = run_child("sink " + target.path().string(), point, seed);
      ASSERT_TRUE(story.power_failed) << point;
      ASSERT_EQ(health(target.path()), "ok") << point << ", seed " << seed;
      const auto position = target.sink()->applied().value;
      EXPECT_GE(position, story.durable) << point << ", seed " << seed;
      EXPECT_EQ(target.ask("SELECT count(*) FROM person"), std::to_string(position))
          << point << ", seed " << seed;
    }
  }
}

TEST_P(PowerLossTest, GateIsOnOneSideOfItsCommitAndNeverBehindWhatItSaid) {
  for (const std::string point :
       {"sqlite.gate.close.commit.before=power@4", "sqlite.gate.close.commit.after=power@4",
        "sqlite.gate.open.commit.before=power@4", "sqlite.gate.open.commit.after=power@4"}) {
    for (int seed = 1; seed <= 6; ++seed) {
      const TargetFixture target(GetParam());
      const Story story = run_child("gate " + target.path().string(), point, seed);
      ASSERT_TRUE(story.power_failed) << point;
      ASSERT_EQ(health(target.path()), "ok") << point << ", seed " << seed;
      const auto seen = target.gate()->inspect(Deadline::in(std::chrono::seconds(5)));
      const bool after = point.find("after") != point.npos;
      EXPECT_EQ(seen.epoch, after ? story.durable + 1 : std::max<Epoch>(story.durable, 1))
          << point << ", seed " << seed;
      EXPECT_EQ(seen.door, seen.epoch % 2 == 1 ? GateState::Door::kOpen : GateState::Door::kClosed);
    }
  }
}

}  // namespace
}  // namespace switchback
