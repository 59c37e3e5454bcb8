// What a flip's pause is predicted to be, and the book of those that were measured.
#include "bridge/pause.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "bridge/flip_gates.h"
#include "state/base/durable_file.h"
#include "tests/support/temp_folder.h"

namespace switchback {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

PauseMeasured measured(int lock_ms, int drain_ms, int change_over_ms, bool drill = false) {
  return {{milliseconds(lock_ms), milliseconds(drain_ms), {}, milliseconds(change_over_ms)}, drill};
}

TEST(ApplySpeed, KeepsWhatABatchCostsApartFromWhatItsChangesCost) {
  ApplySpeedometer meter;
  EXPECT_EQ(meter.speed().needed(1'000), microseconds(0)) << "nothing is known yet";
  for (int round = 0; round < 20; ++round) {
    for (const int changes : {1, 10, 200}) meter.learn(changes, microseconds(3'000 + 50 * changes));
  }
  EXPECT_NEAR(meter.speed().us_per_change, 50, 1);
  EXPECT_NEAR(static_cast<double>(meter.speed().per_batch.count()), 3'000, 60);
  EXPECT_NEAR(static_cast<double>(meter.speed().needed(1'000).count()), 50'000, 1'000);
}

TEST(ApplySpeed, OneOddBatchNeverMakesAChangeCostMoreThanAllDid) {
  ApplySpeedometer meter;
  for (int i = 0; i < 20; ++i) meter.learn(1, microseconds(1'000));
  meter.learn(2, microseconds(500'000));
  EXPECT_LE(meter.speed().us_per_change, 25'000);
}

TEST(ApplySpeed, OneHugeBatchSaysWhatChangesCostAndNotWhatTheNextBatchTakes) {
  ApplySpeedometer meter;
  meter.learn(1'000'000, microseconds(5'200'000));
  EXPECT_EQ(meter.speed().per_batch, microseconds(0));
  EXPECT_NEAR(meter.speed().us_per_change, 5.2, 0.01);
}

TEST(PausePrediction, IsAGuessBeforeAnythingWasMeasured) {
  PauseGrounds grounds;
  grounds.look_from = milliseconds(4);
  grounds.look_to = milliseconds(6);
  grounds.speed = {microseconds(2'000), 100};
  grounds.backlog = 300;
  const PausePredicted guess = predict_pause(grounds);
  EXPECT_EQ(guess.measured, 0u);
  EXPECT_EQ(guess.parts.total(), milliseconds(4 + 2 + 30 + 6));
  EXPECT_TRUE(guess.in_time(milliseconds(32))) << "what is only guessed refuses nothing";
  EXPECT_FALSE(guess.in_time(milliseconds(31))) << "the backlog is measured";
}

TEST(PausePrediction, TakesTheMiddleOfWhatWasMeasured) {
  PauseGrounds grounds;
  grounds.earlier = {measured(2, 10, 20), measured(900, 900, 900), measured(4, 12, 0, true)};
  const PausePredicted predicted = predict_pause(grounds);
  EXPECT_EQ(predicted.parts.lock, milliseconds(4));
  EXPECT_EQ(predicted.parts.drain, milliseconds(12));
  EXPECT_EQ(predicted.parts.change_over, milliseconds(900)) << "a drill has none: of two";
  EXPECT_FALSE(predicted.in_time(milliseconds(500)));
}

TEST(PauseBook, KeepsTheLastOfEachDirection) {
  const test::TempFolder folder;
  const auto file = folder / "pauses";
  const PauseBook book(file);
  EXPECT_TRUE(book.read(Side::kOld).empty());
  for (int i = 1; i <= 7; ++i) book.add(Side::kPostgres, measured(i, 0, 0, i == 7));
  book.add(Side::kOld, measured(50, 0, 0));
  const auto there = book.read(Side::kPostgres);
  ASSERT_EQ(there.size(), 5u);
  EXPECT_EQ(there.front().parts.lock, milliseconds(3));
  EXPECT_EQ(there.back().parts.lock, milliseconds(7));
  EXPECT_TRUE(there.back().drill);
  EXPECT_EQ(book.read(Side::kOld).size(), 1u);
  replace_file(file, "not ours", 0600);
  EXPECT_TRUE(book.read(Side::kOld).empty());
}

TEST(FlipGates, ThePumpsOwnRefuseEachByItself) {
  PumpProgress well;
  well.state = PumpState::kFlowing;
  EXPECT_TRUE(obstacles_of(pump_checks(well, Side::kPostgres)).empty());
  PumpProgress parked = well, behind = well, rejected = well, unread = well;
  parked.state = PumpState::kRetrying;
  behind.lag.changes = 10'001;
  rejected.quarantined = 1;
  unread.troubles.push_back({"/data/a.json", "line 1: half written", false});
  for (const PumpProgress& one : {parked, behind, rejected, unread}) {
    const auto found = obstacles_of(pump_checks(one, Side::kPostgres));
    ASSERT_EQ(found.size(), 1u);
    EXPECT_FALSE(found[0].what.empty());
    EXPECT_FALSE(found[0].cure.empty());
  }
  EXPECT_TRUE(may_pass(pump_checks(behind, Side::kPostgres)));
  EXPECT_FALSE(may_pass(pump_checks(rejected, Side::kPostgres)));
}

TEST(FlipGates, ThePageShowsValueLimitAndCure) {
  const std::string page =
      to_text({{"old", {"readers", "none that stays", "none for 20 ms"}},
               {"bridge", {"quarantine", "3 rows are in quarantine", "0", false, "repair them"}}});
  EXPECT_EQ(page,
            "ok    old       readers     none that stays  limit: none for 20 ms\n"
            "NO    bridge    quarantine  3 rows are in quarantine  limit: 0\n"
            "      cure: repair them\n");
}

}  // namespace
}  // namespace switchback
