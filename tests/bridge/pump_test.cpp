#include "bridge/pump.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <thread>

#include "bridge/reapply.h"

#include "tests/support/test_mapping.h"
#include "tests/support/toy_endpoint.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PumpTest : public testing::Test {
 protected:
  std::shared_ptr<ToyStore> from_ = std::make_shared<ToyStore>(test_mapping(), true);
  std::shared_ptr<ToyStore> to_ = std::make_shared<ToyStore>(test_mapping(), false);
  int made_ = 0;

  std::unique_ptr<Pump> make_pump() {
    auto pump = std::make_unique<Pump>(
        "test",
        [this] {
          ++made_;
          return Pump::Parts{open_toy(from_)->make_source(), open_toy(to_)->make_sink()};
        },
        PumpOptions{.retry_first = milliseconds(1),
                    .retry_most = milliseconds(5),
                    .housekeeping_every = milliseconds(0)});
    pump->start();
    return pump;
  }
  Position end() { return open_toy(from_)->make_gate("all")->mark(); }
  void expect_same() { EXPECT_EQ(from_->rows(), to_->rows()); }
};

TEST_F(PumpTest, CarriesChangesAcross) {
  const auto pump = make_pump();
  for (int i = 0; i < 100; ++i) from_->write(kParent, toy_parent(i % 10, "v" + std::to_string(i)));
  from_->erase(kParent, toy_parent(3, ""));
  ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  EXPECT_EQ(to_->rows().size(), 9u);
  expect_same();
}

TEST_F(PumpTest, ContinuesWhereTheTargetSaysItIs) {
  {
    const auto pump = make_pump();
    from_->write(kParent, toy_parent(1, "a"));
    ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  }
  from_->write(kParent, toy_parent(2, "b"));
  const auto pump = make_pump();
  ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  expect_same();
  EXPECT_EQ(pump->progress().changes, 1u);
}

TEST_F(PumpTest, TriesAgainWhenACommitFailsBeforeItTookEffect) {
  to_->fail_commit(1, false);
  const auto pump = make_pump();
  from_->write(kParent, toy_parent(1, "a"));
  ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  expect_same();
  EXPECT_EQ(made_, 2);
}

TEST_F(PumpTest, TriesAgainWhenACommitFailsAfterItTookEffect) {
  to_->fail_commit(1, true);
  const auto pump = make_pump();
  from_->write(kParent, toy_parent(1, "a"));
  ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  expect_same();
  EXPECT_EQ(made_, 2);
}

TEST_F(PumpTest, StopsOnAForkedHistoryAndSaysSo) {
  {
    const auto pump = make_pump();
    from_->write(kParent, toy_parent(1, "a"));
    ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  }
  from_->fork();
  const auto pump = make_pump();
  from_->write(kParent, toy_parent(2, "b"));
  EXPECT_FALSE(pump->wait_applied(end(), Deadline::in(seconds(60))));  // returns at once
  const PumpProgress progress = pump->progress();
  EXPECT_EQ(progress.state, PumpState::kStopped);
  ASSERT_TRUE(progress.error);
  EXPECT_EQ(progress.error->kind(), ErrorKind::kHistory);
  EXPECT_EQ(to_->rows().size(), 1u);
}

TEST_F(PumpTest, ParkedItTakesNothingAndResumedItCatchesUp) {
  const auto pump = make_pump();
  ASSERT_TRUE(pump->park(Deadline::in(seconds(5))));
  EXPECT_EQ(pump->progress().state, PumpState::kParked);
  from_->write(kParent, toy_parent(1, "a"));
  EXPECT_FALSE(pump->wait_applied(end(), Deadline::in(milliseconds(20))));
  EXPECT_TRUE(to_->rows().empty());
  pump->resume();
  ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  expect_same();
}

TEST_F(PumpTest, EndedWhileParkedItTakesNothingEither) {
  auto pump = make_pump();
  ASSERT_TRUE(pump->park(Deadline::in(seconds(5))));
  from_->write(kParent, toy_parent(1, "a"));
  pump.reset();
  EXPECT_TRUE(to_->rows().empty());
}

TEST_F(PumpTest, CountsWhatTheTargetTurnsAway) {
  const auto pump = make_pump();
  ToyRow bad = toy_parent(1, "a");
  bad[1] = {};
  from_->write(kParent, bad);
  from_->write(kParent, toy_parent(2, "b"));
  ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  EXPECT_EQ(pump->progress().quarantined, 1u);
  EXPECT_EQ(to_->rows().size(), 1u);
  from_->write(kParent, toy_parent(1, "mended"));
  ASSERT_TRUE(pump->wait_applied(end(), Deadline::in(seconds(5))));
  EXPECT_EQ(pump->progress().quarantined, 0u);
  expect_same();
}

// Stands for a sink that misses a row of which the source sends a part only.
class PartialSink : public ChangeSink {
 public:
  explicit PartialSink(std::unique_ptr<ChangeSink> sink) : sink_(std::move(sink)) {}
  Position applied() override { return sink_->applied(); }
  void apply(const Chunk& chunk, std::vector<Reject>& rejects) override {
    if (given_ || chunk.empty()) return sink_->apply(chunk, rejects);
    given_ = true;
    for (const Change& change : chunk.changes()) {
      const auto key = chunk.row(change).first(1);
      wanted_.add(copy_cell(key[0], chunk, wanted_));
      wanted_.end_delete(change.table);
    }
  }
  Chunk wanted_rows() override { return std::exchange(wanted_, {}); }
  void commit(const Position& position, std::span<const Reject> rejects) override {
    sink_->commit(position, rejects);
  }
  void rollback() noexcept override { sink_->rollback(); }
  Position durable() override { return sink_->durable(); }
  std::uint64_t quarantined() override { return sink_->quarantined(); }

 private:
  std::unique_ptr<ChangeSink> sink_;
  Chunk wanted_;
  bool given_ = false;
};

TEST_F(PumpTest, FetchesTheRowsOfWhichOnlyAPartCame) {
  for (int i = 0; i < 150; ++i) from_->write(kParent, toy_parent(i, "a"));
  from_->erase(kParent, toy_parent(77, ""));
  int readers = 0;
  Pump pump("test", [&] {
    return Pump::Parts{open_toy(from_)->make_source(),
                       std::make_unique<PartialSink>(open_toy(to_)->make_sink()), [&] {
                         ++readers;
                         return open_toy(from_)->make_reader();
                       }};
  });
  pump.start();
  ASSERT_TRUE(pump.wait_applied(end(), Deadline::in(seconds(5))));
  EXPECT_EQ(readers, 1);
  expect_same();
}

// Tells for how long a source is let wait.
class AskedSource : public ChangeSource {
 public:
  AskedSource(std::unique_ptr<ChangeSource> source, std::function<void(milliseconds)> asked)
      : source_(std::move(source)), asked_(std::move(asked)) {}
  void start(const Position& applied) override { source_->start(applied); }
  Pull pull(Chunk& out, Deadline deadline, std::stop_token stop) override {
    asked_(deadline.remaining());
    return source_->pull(out, deadline, std::move(stop));
  }
  void acknowledge(const Position& durable) noexcept override { source_->acknowledge(durable); }
  void idle() override { source_->idle(); }
  void park() override { source_->park(); }
  Lag lag() override { return source_->lag(); }
  void wake() noexcept override { source_->wake(); }

 private:
  std::unique_ptr<ChangeSource> source_;
  std::function<void(milliseconds)> asked_;
};

// Each time it is asked, a SQLite source takes a lock and looks: that is what an idle sidecar
// costs.
TEST_F(PumpTest, WithNothingToDoItLeavesItsSourceAloneForASecond) {
  std::promise<void> left_alone;
  bool told = false;
  Pump pump("test", [&] {
    const auto asked = [&](milliseconds wait) {
      if (wait >= milliseconds(900) && !std::exchange(told, true)) left_alone.set_value();
    };
    return Pump::Parts{std::make_unique<AskedSource>(open_toy(from_)->make_source(), asked),
                       open_toy(to_)->make_sink()};
  });
  pump.start();
  EXPECT_EQ(left_alone.get_future().wait_for(seconds(5)), std::future_status::ready);
}

class PumpJobTest : public PumpTest {
 protected:
  std::unique_ptr<Pump> pump_ = make_pump();

  void SetUp() override {
    from_->write(kParent, toy_parent(1, "a"));
    ASSERT_TRUE(pump_->wait_applied(end(), Deadline::in(seconds(5))));
  }
  std::optional<ErrorKind> failure_of(std::future<void> done) {
    try {
      done.get();
    } catch (const Error& error) {
      return error.kind();
    }
    return std::nullopt;
  }
  /// `begin` hands the pump a chore, which lasts until after hold_housekeeping() was called.
  void expect_a_flip_waits_for(
      const std::function<void(const std::function<void()>& chore)>& begin) {
    std::promise<void> begun;
    std::promise<void> go;
    std::atomic<bool> over = false;
    begin([&] {
      begun.set_value();
      go.get_future().wait();
      over = true;
    });
    begun.get_future().wait();
    std::thread release([&] { go.set_value(); });
    pump_->hold_housekeeping(true);
    EXPECT_TRUE(over);
    release.join();
  }
};

TEST_F(PumpJobTest, ReadsKeysAnewAndLeavesThePositionAsItIs) {
  Chunk keys;
  for (const int id : {1, 2}) {
    keys.add(Cell::integer(id));
    keys.end_delete(kParent);
  }
  Reapplied seen;
  Position at;
  pump_
      ->submit([&](Pump::Parts& parts, const Position& applied) {
        at = applied;
        seen = reapply(keys, applied, *open_toy(from_)->make_reader(), *parts.sink);
      })
      .get();
  EXPECT_EQ(at, end());
  EXPECT_EQ(seen.rows, 1u);
  EXPECT_EQ(seen.gone, 1u);
  EXPECT_TRUE(seen.rejects.empty());
  EXPECT_EQ(open_toy(to_)->make_sink()->applied(), end());
  expect_same();
}

TEST_F(PumpJobTest, WhatItThrowsIsTheCallersAndThePumpFlowsOn) {
  EXPECT_EQ(failure_of(pump_->submit([](Pump::Parts&, const Position&) {
              throw Error(ErrorKind::kData, Retry::kNever, "a mistake");
            })),
            ErrorKind::kData);
  from_->write(kParent, toy_parent(2, "b"));
  EXPECT_TRUE(pump_->wait_applied(end(), Deadline::in(seconds(5))));
  expect_same();
}

TEST_F(PumpJobTest, IsRefusedDuringAFlipAndWhenThePumpEnds) {
  const auto nothing = [](Pump::Parts&, const Position&) {};
  pump_->hold_housekeeping(true);
  EXPECT_EQ(failure_of(pump_->submit(nothing)), ErrorKind::kBusy);
  pump_->hold_housekeeping(false);
  ASSERT_TRUE(pump_->park(Deadline::in(seconds(5))));
  EXPECT_EQ(failure_of(pump_->submit(nothing)), ErrorKind::kBusy);
  pump_->resume();
  EXPECT_EQ(failure_of(pump_->submit(nothing)), std::nullopt);
}

TEST_F(PumpJobTest, OneUnderWayEndsBeforeAFlipGoesOn) {
  std::future<void> done;
  expect_a_flip_waits_for([&](const std::function<void()>& chore) {
    done = pump_->submit([chore](Pump::Parts&, const Position&) { chore(); });
  });
  done.get();
}

TEST_F(PumpJobTest, HousekeepingUnderWayEndsBeforeAFlipGoesOn) {
  expect_a_flip_waits_for(
      [&](const std::function<void()>& chore) { from_->housekeep_once(chore); });
}

}  // namespace
}  // namespace switchback
