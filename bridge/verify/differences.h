// What can be said of a row that two looks found apart: whether it is meant to be so, and in which
// columns it differs. Used by the sweep, the trailing verifier and the comparison under a flip's
// lock. Stateless.
#pragma once

#include <vector>

#include "bridge/verify/report.h"
#include "bridge/verify/sides.h"
#include "bridge/verify/suspects.h"

namespace switchback {

/// One entry for each column that differs, or one for the row.
std::vector<Difference> differences_of(const VerifySides& sides, const TableMap& map,
                                       const SeenApart& seen);
/// True if both say the same in other words, or the configuration wants the difference.
bool is_meant(const VerifySides& sides, const TableMap& map, const SeenApart& seen,
              RowReader& postgres);

}  // namespace switchback
