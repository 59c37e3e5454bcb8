// A comparison of a bridge that runs: the supervisor's two sides as a sweep wants them, and a sweep
// from its order to its report, begun anew when a flip comes in between. Used by the sidecar's
// verifier and by the command when no sidecar runs; any thread that may wait.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "bridge/supervisor.h"
#include "bridge/verify/order.h"
#include "bridge/verify/report.h"
#include "bridge/verify/sweep.h"

namespace switchback {

/// Throws Error(kRefused) outside of forward and reverse, Error(kUsage) for a table that is not
/// mapped, and what a side throws that is not there.
VerifyReport run_verify(Supervisor& supervisor, const VerifyOrder& order,
                        std::uint64_t rows_per_second, std::stop_token stop,
                        const Sweep::Report& tell);

}  // namespace switchback
