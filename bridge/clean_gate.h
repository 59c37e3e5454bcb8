// The gate of a flip that asks for equality: the two sides were compared in full, nothing differed,
// and nothing has happened since that no single change would show. Where no such comparison holds,
// as after a start of the sidecar, the flip makes one first; a dry run only says so. Called by
// whoever serves a flip, on a thread that may wait for a comparison.
#pragma once

#include <optional>

#include "bridge/last_verify.h"
#include "bridge/supervisor.h"
#include "bridge/verifier.h"
#include "state/ports/write_gate.h"

namespace switchback {

/// Throws what a side throws that is not there.
SweepStands sweep_for_flip(const Supervisor& supervisor, Verifier& verifier,
                           const FlipRequest& request);

}  // namespace switchback
