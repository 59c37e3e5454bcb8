// The one way on from every history that is no longer the one the other side followed: both sides
// are compared in full and the other side is made as the primary is, with no pump between them.
// Until that has come to its end the position on record is one that no source will start from, so
// a crash at any instant leaves a bridge that says so and can be told to begin again. What the
// other side alone had, or had otherwise, is written to a file before it goes; what cannot be
// written there stays. What still differs in the end is in quarantine. Called by the
// supervisor when somebody asked for it; one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "bridge/site.h"
#include "bridge/verify/sweep.h"
#include "state/model/phase.h"
#include "state/model/position.h"
#include "state/ports/change_sink.h"

namespace switchback {

/// Of a history that no source has: what is recorded while a comparison in full is due.
inline constexpr Position kUnsettled{.history = 2, .value = 0, .proof = 0};

struct Resynced {
  std::uint64_t rows_old = 0, rows_postgres = 0;
  std::uint64_t applied = 0;   // rows that the other side had not, or otherwise
  std::uint64_t removed = 0;   // rows that it alone had
  std::uint64_t refused = 0;   // in quarantine now
  std::uint64_t left = 0;      // of them: as they were, since no copy could be kept
  std::filesystem::path kept;  // what it had of them; empty if that was nothing
};

/// Compares the two sides and applies what the primary has through `sink`, the other side's, which
/// holds kUnsettled throughout. `folder` is where the rows that go are kept. Throws Error, also if
/// a table could not be compared; then nothing is settled and it may be called again.
Resynced resync(const Site& site, Side primary, ChangeSink& sink,
                const std::filesystem::path& folder, std::stop_token stop,
                const Sweep::Report& tell);

/// What differs now, without changing anything.
VerifyReport compare_at_rest(const Site& site, Side primary, std::stop_token stop,
                             const Sweep::Report& tell);

}  // namespace switchback
