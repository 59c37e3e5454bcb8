// The gate of a store of files dies at every durable step: whoever comes next finds it open with
// every mode as it was, or closed with the whole fence.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "tests/watchers/files/gate_fixture.h"

namespace switchback {
namespace {

using Door = GateState::Door;

namespace fs = std::filesystem;

/// In a process of its own, which dies at the failpoint.
int play(const std::string& failpoint, const fs::path& folder, const char* what) {
  const int status =
      std::system(("SWITCHBACK_FAILPOINT=" + failpoint + " exec " + std::string(GATE_CRASH_CHILD) +
                   " " + folder.string() + " " + what + " 2>/dev/null")
                      .c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(FilesGateTest, ADeathOnTheWayLeavesTheGateOnOneSide) {
  int deaths = 0;
  for (const std::string step : {"files.gate.close.commit.before", "files.gate.close.commit.after",
                                 "files.gate.open.commit.before", "files.gate.open.commit.after",
                                 "files.ledger.commit.before", "files.ledger.commit.after"}) {
    const std::string act = step.find("open") == step.npos ? "close" : "open";
    for (int hit = 1; hit < 30; ++hit) {
      if (act == "open") close_at(2);
      const int code = play(step + "=crash@" + std::to_string(hit), store_.folder(), act.c_str());
      const GateState state = gate()->inspect(soon());
      EXPECT_NE(state.door, Door::kTorn) << step << "@" << hit;
      if (state.door == Door::kOpen) {
        expect_modes_of_the_beginning();
      } else {
        expect_fenced();
        gate()->open(1, {});
      }
      if (code == 0 || HasFailure()) break;
      ++deaths;
    }
  }
  EXPECT_GE(deaths, 6);
  expect_modes_of_the_beginning();
}

}  // namespace
}  // namespace switchback
