// `switchback demo`: the whole story on sample data. A private PostgreSQL, an example system's
// store, an application in a process of its own that writes all the while and follows the
// primary, a sidecar in this process; load, cutover, rollback and cutover again under writes; at
// the end a checker that shares no code with the program reads both stores against the
// application's journal. One thread besides the sidecar's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace switchback {

struct DemoOptions {
  std::filesystem::path folder;    // empty: a temporary one, removed if all went well
  std::string system = "twitter";  // a folder of configs/
  std::optional<int> rows;         // of the largest table; the system's own number if not said
  int rate = 300;                  // committed writes per second
  int seconds_per_phase = 8;
  std::string journal_mode;  // of a SQLite store; empty: as the real system has it
  bool plant_loss = false;   // removes an acknowledged row, so that the checker must fail
};

/// Tells the story on standard output. 0 if the checker found nothing lost, 1 if it did. Throws
/// Error if the story could not be played to its end.
int run_demo(const DemoOptions& options);

}  // namespace switchback
