// The certificate of a flip: what was done, when, by whom, how long writers waited, and which
// marker proved that everything had been carried across. JSON, in the state directory. Stateless.
#pragma once

#include <filesystem>
#include <string>

#include "bridge/flip.h"
#include "bridge/site.h"
#include "state/ledger/state_dir.h"

namespace switchback {

/// Writes certificates/EPOCH-cutover.json (or -rollback) durably and returns its path. Throws
/// Error(kDisk).
std::filesystem::path write_certificate(const StateDir& state, const Site& site,
                                        const FlipRequest& request, const FlipOutcome& outcome,
                                        const std::string& by);

}  // namespace switchback
