// The certificate of a flip: what was done, when, by whom, how long writers waited and how long
// that was predicted to take, which marker proved that everything had been carried across, which
// full comparison it stands on, what was compared under the lock, and what could not be proven.
// JSON for programs and, beside it, a page for people; in the state directory, their hashes in the
// audit log. Stateless.
#pragma once

#include <filesystem>
#include <string>

#include "bridge/site.h"
#include "bridge/supervisor.h"
#include "state/ledger/state_dir.h"

namespace switchback {

/// Writes certificates/EPOCH-cutover.json (or -rollback) and its page durably and returns the path
/// of the first. Throws Error(kDisk).
std::filesystem::path write_certificate(const StateDir& state, const Site& site,
                                        const FlipRequest& request, const FlipReport& report,
                                        const std::string& by);

/// Where the page of a certificate is.
std::filesystem::path page_of(std::filesystem::path certificate);

}  // namespace switchback
