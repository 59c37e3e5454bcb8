#include "watchers/sqlite/writer_pause.h"

#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include "watchers/sqlite/prepared.h"

namespace switchback {
namespace {

using Clock = Deadline::Clock;

constexpr std::chrono::microseconds kBetweenLooks{250};
// Who looks so late has been off the processor, and does not know when the commit was.
constexpr std::chrono::microseconds kLateLook{1'500};
// A commit so long after the one before is one of a writer that pauses...
constexpr std::chrono::microseconds kPause{5'000};
// ...unless another follows it so soon: that writer was held up, and makes up for it.
constexpr std::chrono::microseconds kSettled{1'500};

}  // namespace

bool wait_for_pause(SQLite::Database& database, Deadline deadline) {
  Prepared version(database, "PRAGMA main.data_version");
  const auto look = [&] {
    const ResetAtEnd reset(version);
    version.step();
    return sqlite3_column_int64(version.get(), 0);
  };
  std::int64_t seen = look();
  bool any = false, paused = false;
  auto last_commit = Clock::now(), last_look = last_commit;
  while (!deadline.passed()) {
    std::this_thread::sleep_for(kBetweenLooks);
    const auto now = Clock::now();
    const bool late = now - std::exchange(last_look, now) > kLateLook;
    const std::int64_t version_now = look();
    if (std::exchange(seen, version_now) != version_now) {
      any = true;
      paused = !late && now - last_commit >= kPause;
      last_commit = now;
    } else if (late) {
      paused = false;
    } else if (paused && now - last_commit >= kSettled) {
      return true;
    }
  }
  return !any;
}

}  // namespace switchback
