// Some keys of one table, compared on both sides: what the trailing verifier does all the time and
// a flip does once more under its lock. Stateless.
#pragma once

#include <vector>

#include "bridge/verify/sides.h"
#include "bridge/verify/trail.h"

namespace switchback {

struct ComparedPart {
  std::vector<Trail::Differs> differing;
  Chunk again;  // keys that moved each time
};

/// What is in quarantine is told elsewhere and does not count. Throws what the readers throw, and
/// Error(kBusy) if the other side does not catch up, or on a stop.
ComparedPart compare_part(const VerifySides& sides, const Pace& pace, RowReader& old_side,
                          RowReader& postgres, const Trail::Part& part);

}  // namespace switchback
