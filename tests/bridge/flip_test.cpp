// The flip between two toy endpoints: what it does when all is well, and that it changes nothing
// when it cannot. Crashes are played in tests/fault.
#include "bridge/flip.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/support/temp_folder.h"
#include "tests/support/test_mapping.h"
#include "tests/support/toy_endpoint.h"

namespace switchback {
namespace {

using Door = GateState::Door;
using std::chrono::milliseconds;
using std::chrono::seconds;

class FlipTest : public testing::Test {
 protected:
  std::shared_ptr<ToyStore>& store(Side side) { return side == Side::kOld ? old_ : postgres_; }
  std::unique_ptr<WriteGate> gate(Side side) { return open_toy(store(side))->make_gate("all"); }
  std::unique_ptr<Pump> pump_to(Side side) {
    auto pump = std::make_unique<Pump>(
        "test",
        [this, side] {
          return Pump::Parts{open_toy(store(other(side)))->make_source(),
                             open_toy(store(side))->make_sink()};
        },
        PumpOptions{.retry_first = milliseconds(1)});
    pump->start();
    return pump;
  }
  bool ready(Pump& pump, Side to) {
    const Position mark = gate(other(to))->mark();
    return pump.wait_applied(mark, Deadline::in(seconds(5)));
  }
  FlipOutcome run(const FlipRequest& request, Pump& pump, FlipHooks hooks) {
    const auto old_gate = gate(Side::kOld);
    const auto postgres_gate = gate(Side::kPostgres);
    Flip flip({*old_gate, *postgres_gate}, pump, journal_, std::move(hooks), 1);
    return flip.run(request);
  }
  FlipOutcome flip(Side to, Pump& pump, FlipHooks hooks = {}, milliseconds pause = seconds(2)) {
    return run({.to = to, .max_pause = pause, .tries = 2}, pump, std::move(hooks));
  }
  FlipOutcome drill(Side to, Pump& pump, FlipHooks hooks = {}) {
    return run({.to = to, .max_pause = seconds(2), .tries = 2, .drill = true}, pump,
               std::move(hooks));
  }
  GateState state(Side side) { return gate(side)->inspect(Deadline::in(seconds(1))); }
  void expect(Side primary, Epoch epoch) {
    EXPECT_EQ(state(primary), (GateState{Door::kOpen, epoch}));
    EXPECT_EQ(state(other(primary)).door, Door::kClosed);
  }
  Standing recovered(bool can_drain = true) {
    const auto old_gate = gate(Side::kOld);
    const auto postgres_gate = gate(Side::kPostgres);
    return recover(
        {*old_gate, *postgres_gate}, journal_,
        [&](const FlipDecision&, Deadline) { return can_drain; }, Deadline::in(seconds(1)));
  }

  test::TempFolder folder_;
  FlipJournal journal_{folder_ / "flip"};
  std::shared_ptr<ToyStore> old_ = std::make_shared<ToyStore>(test_mapping(), true);
  std::shared_ptr<ToyStore> postgres_ = std::make_shared<ToyStore>(test_mapping(), false);
};

TEST_F(FlipTest, GoesThereAndBackUnderWritesAndLosesNothing) {
  std::atomic<bool> done = false;
  std::atomic<std::int64_t> accepted = 0;
  std::jthread writer([&] {
    std::int64_t next = 0;
    while (!done) {
      // What an application does: the side that refuses sends it to the other one.
      const Side first = next % 2 == 0 ? Side::kOld : Side::kPostgres;
      if (store(first)->write(kParent, toy_parent(next, "x")) ||
          store(other(first))->write(kParent, toy_parent(next, "x"))) {
        accepted = ++next;
      }
    }
  });
  Side to = Side::kPostgres;
  for (Epoch epoch = 2; epoch < 12; ++epoch) {
    const auto pump = pump_to(to);
    ASSERT_TRUE(ready(*pump, to));
    const FlipOutcome outcome = flip(to, *pump);
    ASSERT_TRUE(outcome.flipped) << (outcome.obstacles.empty() ? "" : outcome.obstacles[0].what);
    EXPECT_EQ(outcome.epoch, epoch);
    expect(to, epoch);
    to = other(to);
  }
  done = true;
  writer.join();
  const auto pump = pump_to(to);
  ASSERT_TRUE(ready(*pump, to));
  EXPECT_EQ(old_->rows(), postgres_->rows());
  EXPECT_EQ(old_->rows().size(), static_cast<std::size_t>(accepted.load()));
}

TEST_F(FlipTest, RefusesWhatIsNotTheOtherWayRound) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  const FlipOutcome outcome = flip(Side::kOld, *pump);
  EXPECT_FALSE(outcome.flipped);
  ASSERT_EQ(outcome.obstacles.size(), 1u);
  EXPECT_EQ(outcome.primary, Side::kOld) << "says who is primary, not who was left";
  EXPECT_NE(outcome.obstacles[0].what.find("old already"), std::string::npos);
  EXPECT_NE(outcome.obstacles[0].cure.find("cutover"), std::string::npos);
  expect(Side::kOld, 1);
}

TEST_F(FlipTest, AFailedVerifyChangesNothing) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  const auto differ = [](Deadline) {
    return LockCompare{.outcome = LockCompare::Outcome::kDiffer, .differing = {"t [\"1\"]"}};
  };
  const FlipOutcome refused = flip(Side::kPostgres, *pump, {.verify = differ});
  EXPECT_FALSE(refused.flipped);
  EXPECT_EQ(refused.tries, 1);
  ASSERT_EQ(refused.obstacles.size(), 1u);
  EXPECT_EQ(refused.obstacles.front().what, "t [\"1\"]");
  expect(Side::kOld, 1);
  EXPECT_FALSE(journal_.pending());
  EXPECT_TRUE(old_->write(kParent, toy_parent(1, "still writable")));
  EXPECT_TRUE(ready(*pump, Side::kPostgres)) << "the pump flows on";
}

TEST_F(FlipTest, AComparisonWithoutEnoughTimeIsTriedAgainAndThenChangesNothing) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  int late = 2;
  FlipHooks hooks;
  hooks.verify = [&](Deadline) {
    const bool in_time = late-- == 0;
    using Outcome = LockCompare::Outcome;
    return LockCompare{.outcome = in_time ? Outcome::kSame : Outcome::kNoTime, .rows = 7};
  };
  const FlipOutcome refused = flip(Side::kPostgres, *pump, hooks);
  EXPECT_FALSE(refused.flipped);
  EXPECT_EQ(refused.tries, 2);
  ASSERT_FALSE(refused.obstacles.empty());
  EXPECT_NE(refused.obstacles.back().what.find("7 were"), std::string::npos);
  expect(Side::kOld, 1);
  EXPECT_FALSE(journal_.pending());
  EXPECT_TRUE(old_->write(kParent, toy_parent(1, "still writable")));
  ASSERT_TRUE(ready(*pump, Side::kPostgres)) << "the pump flows on";
  EXPECT_TRUE(flip(Side::kPostgres, *pump, hooks).flipped);
}

TEST_F(FlipTest, ADeadlineThatPassesInTheDrainChangesNothing) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  // The writer gets in between the look and the lock, and the target cannot commit.
  FlipHooks hooks;
  hooks.closing = [&] {
    postgres_->fail_commit(1, false);
    old_->write(kParent, toy_parent(1, "late"));
  };
  const auto slow = std::make_unique<Pump>(
      "slow", [&]() -> Pump::Parts { throw Error(ErrorKind::kBusy, Retry::kLater, "not yet"); });
  slow->start();
  const FlipOutcome outcome = flip(Side::kPostgres, *slow, hooks, milliseconds(50));
  EXPECT_FALSE(outcome.flipped);
  expect(Side::kOld, 1);
  EXPECT_TRUE(old_->write(kParent, toy_parent(2, "still writable")));
}

// The pump is idle, and knows only what it committed to the one that was there before.
TEST_F(FlipTest, ATargetThatWasSetBackIsNotOpened) {
  old_->write(kParent, toy_parent(1, "a"));
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  const Position before = pump->progress().applied;
  old_->write(kParent, toy_parent(2, "b"));
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  postgres_->set_back(before);
  try {
    flip(Side::kPostgres, *pump);
    ADD_FAILURE() << "took a copy for the side that was drained to";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kHistory);
    EXPECT_EQ(error.detail().object, "PostgreSQL") << "status tells it of that side";
  }
  expect(Side::kOld, 1);
  EXPECT_FALSE(journal_.pending());
  EXPECT_TRUE(old_->write(kParent, toy_parent(3, "still writable")));
}

// The flip is done then, and undoing it would let the pump of before go on.
TEST_F(FlipTest, ANoteThatCannotBeClearedAtTheEndUndoesNothing) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  const auto journal = folder_ / "flip";
  postgres_->on_open([&] {
    std::filesystem::remove(journal);
    std::filesystem::create_directory(journal);
  });
  const FlipOutcome outcome = flip(Side::kPostgres, *pump);
  EXPECT_TRUE(outcome.flipped);
  EXPECT_EQ(outcome.primary, Side::kPostgres);
  EXPECT_EQ(outcome.tries, 1);
  expect(Side::kPostgres, 2);
}

TEST_F(FlipTest, AnOpenQuarantineBlocks) {
  const auto pump = pump_to(Side::kPostgres);
  ToyRow bad = toy_parent(1, "a");
  bad[1] = {};
  old_->write(kParent, bad);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  const FlipOutcome outcome = flip(Side::kPostgres, *pump);
  EXPECT_FALSE(outcome.flipped);
  ASSERT_FALSE(outcome.obstacles.empty());
  EXPECT_NE(outcome.obstacles[0].what.find("quarantine"), std::string::npos);
}

TEST_F(FlipTest, ARowRefusedInTheDrainBlocks) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  // Written between the look and the lock.
  FlipHooks hooks;
  hooks.closing = [&] {
    ToyRow bad = toy_parent(1, "a");
    bad[1] = {};
    old_->write(kParent, bad);
  };
  const FlipOutcome outcome = flip(Side::kPostgres, *pump, hooks);
  EXPECT_FALSE(outcome.flipped);
  ASSERT_FALSE(outcome.obstacles.empty());
  EXPECT_NE(outcome.obstacles[0].what.find("quarantine"), std::string::npos);
  expect(Side::kOld, 1);
  EXPECT_TRUE(old_->write(kParent, toy_parent(2, "still writable")));
}

TEST_F(FlipTest, AnyGateThatIsNotMetChangesNothing) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  FlipHooks hooks;
  bool told = false;
  hooks.closing = [&] { told = true; };
  hooks.gates = [] {
    return std::vector<GateCheck>{{"last verify", "never compared", "identical", false, "verify"}};
  };
  const FlipOutcome outcome = flip(Side::kPostgres, *pump, hooks);
  EXPECT_FALSE(outcome.flipped);
  ASSERT_EQ(outcome.obstacles.size(), 1u);
  EXPECT_EQ(outcome.obstacles[0].what, "never compared");
  EXPECT_EQ(outcome.checks[5].check.name, "last verify");
  EXPECT_FALSE(told);
  EXPECT_EQ(outcome.tries, 0);
  expect(Side::kOld, 1);
  EXPECT_TRUE(old_->write(kParent, toy_parent(1, "still writable")));
}

// A disk that is busy with others' writes may keep it longer than the watchdog lets a flip be.
TEST_F(FlipTest, WhatNobodyWaitsForIsDoneBeforeTheWatchBegins) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  std::vector<std::string> order;
  old_->on_ready_to_close([&] {
    EXPECT_TRUE(old_->write(kParent, toy_parent(1, "nobody is held off")));
    order.emplace_back("ready");
    if (order.size() == 1) throw Error(ErrorKind::kBusy, Retry::kLater, "not just now");
  });
  FlipHooks hooks;
  hooks.watch = [&](Deadline) { order.emplace_back("watch"); };
  hooks.unwatch = [&] { order.emplace_back("unwatch"); };
  const FlipOutcome outcome = flip(Side::kPostgres, *pump, hooks);
  EXPECT_TRUE(outcome.flipped);
  EXPECT_EQ(outcome.tries, 2);
  EXPECT_EQ(order, (std::vector<std::string>{"ready", "unwatch", "ready", "watch", "unwatch"}));
  expect(Side::kPostgres, 2);
}

TEST_F(FlipTest, APauseThatIsPredictedTooLongRefusesButNotADrill) {
  const auto pump = pump_to(Side::kPostgres);
  ASSERT_TRUE(ready(*pump, Side::kPostgres));
  FlipHooks hooks;
  hooks.measured.assign(3, {{seconds(3), {}, {}, {}}, false});
  const FlipOutcome outcome = flip(Side::kPostgres, *pump, hooks);
  EXPECT_FALSE(outcome.flipped);
  ASSERT_EQ(outcome.obstacles.size(), 1u);
  EXPECT_NE(outcome.obstacles[0].what.find("predicted pause"), std::string::npos);
  EXPECT_NE(outcome.obstacles[0].cure.find("--drill"), std::string::npos);
  expect(Side::kOld, 1);
  EXPECT_TRUE(drill(Side::kPostgres, *pump, hooks).drilled);
}

TEST_F(FlipTest, ADrillMeasuresAndChangesNothingInEitherDirection) {
  auto pump = pump_to(Side::kPostgres);
  Epoch epoch = 1;
  for (const Side to : {Side::kPostgres, Side::kOld}) {
    ASSERT_TRUE(ready(*pump, to));
    FlipHooks hooks;
    bool told = false, locked = false;
    hooks.closing = [&] { told = true; };
    hooks.verify = [&](Deadline) {
      locked = !gate(other(to))->lock(Deadline::in(milliseconds(20)));
      return LockCompare{};
    };
    const FlipOutcome outcome = drill(to, *pump, hooks);
    EXPECT_TRUE(outcome.drilled);
    EXPECT_FALSE(outcome.flipped);
    EXPECT_TRUE(outcome.obstacles.empty());
    EXPECT_TRUE(locked) << "under the real lock";
    EXPECT_FALSE(told) << "nobody is to prepare for a flip that does not come";
    EXPECT_GE(outcome.pause, milliseconds(20)) << "measured";
    EXPECT_EQ(outcome.primary, other(to));
    EXPECT_EQ(outcome.epoch, epoch);
    expect(other(to), epoch);
    EXPECT_FALSE(journal_.pending());
    EXPECT_TRUE(store(other(to))->write(kParent, toy_parent(epoch * 10, "after the drill")));
    ASSERT_TRUE(ready(*pump, to)) << "the pump flows on";
    ASSERT_TRUE(flip(to, *pump).flipped);
    ++epoch;
    pump = pump_to(other(to));
  }
}

TEST_F(FlipTest, RecoveryFinishesWhatWasDecidedAndDrained) {
  gate(Side::kOld)->close(2, Deadline::in(seconds(1)));
  journal_.decide({"all", Side::kPostgres, 2, {77, 1, 0}});
  const Standing standing = recovered();
  EXPECT_TRUE(standing.finished_flip);
  expect(Side::kPostgres, 2);
  EXPECT_FALSE(journal_.pending());
}

TEST_F(FlipTest, RecoveryWaitsWhileTheDrainCannotBeProven) {
  gate(Side::kOld)->close(2, Deadline::in(seconds(1)));
  journal_.decide({"all", Side::kPostgres, 2, {77, 1, 0}});
  EXPECT_THROW(recovered(false), Error);
  EXPECT_EQ(state(Side::kPostgres).door, Door::kClosed);
  EXPECT_EQ(state(Side::kOld).door, Door::kClosed);
}

TEST_F(FlipTest, RecoveryReopensTheOldPrimaryWhenNothingWasDecided) {
  gate(Side::kOld)->close(2, Deadline::in(seconds(1)));
  const Standing standing = recovered();
  EXPECT_TRUE(standing.undone_flip);
  expect(Side::kOld, 3);
}

TEST_F(FlipTest, RecoveryLeavesASettledPairAlone) {
  journal_.decide({"all", Side::kPostgres, 2, {77, 1, 0}});  // decided, and nothing closed yet
  const Standing standing = recovered();
  EXPECT_FALSE(standing.finished_flip);
  expect(Side::kOld, 1);
  EXPECT_FALSE(journal_.pending());
}

TEST_F(FlipTest, RecoveryRefusesTwoOpenSides) {
  gate(Side::kPostgres)->open(5, {});
  EXPECT_THROW(recovered(), Error);
}

}  // namespace
}  // namespace switchback
