// The reverse rehearsal before a cutover: one real row of each table, as PostgreSQL has it, goes
// through the old store's own sink into an empty store of the same shape, is read back and
// compared, and is deleted again. So it is known before writes go to PostgreSQL whether they can be
// written back. Touches neither side. One thread; may take a second.
#pragma once

#include <filesystem>
#include <vector>

#include "bridge/site.h"
#include "state/ports/write_gate.h"

namespace switchback {

/// One gate if all is well, one for each table whose row did not come through otherwise. `folder`
/// is emptied before and after.
std::vector<GateCheck> rehearse_reverse(const Site& site, const std::filesystem::path& folder);

}  // namespace switchback
