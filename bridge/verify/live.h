// A comparison of a bridge that runs: the supervisor's two sides as a sweep wants them, and a sweep
// from its order to its report, begun anew when a flip comes in between. Used by the sidecar's
// verifier and by the command when no sidecar runs; any thread that may wait.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include <memory>

#include "bridge/supervisor.h"
#include "bridge/verify/order.h"
#include "bridge/verify/report.h"
#include "bridge/verify/row_pair.h"
#include "bridge/verify/sides.h"
#include "bridge/verify/sweep.h"

namespace switchback {

/// Asks PostgreSQL, on a connection of its own, made when first needed.
SameInPostgres ask_postgres(const Config& config);

/// The bridge as it stands now. The supervisor outlives it.
struct LiveSides {
  std::shared_ptr<const Pace> pace;
  Epoch epoch;
  VerifySides sides;
};
/// Throws Error(kRefused) outside of forward and reverse.
LiveSides live_sides(Supervisor& supervisor, std::shared_ptr<const Pace> pace);
/// The same under a flip's lock: everything is carried, the pump stands.
LiveSides locked_sides(Supervisor& supervisor);

/// Throws Error(kRefused) outside of forward and reverse, Error(kUsage) for a table that is not
/// mapped, and what a side throws that is not there.
VerifyReport run_verify(Supervisor& supervisor, const VerifyOrder& order,
                        std::uint64_t rows_per_second, std::stop_token stop,
                        const Sweep::Report& tell);

}  // namespace switchback
