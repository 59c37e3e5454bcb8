// The comparison under a flip's lock: what was applied and not compared before, read on both sides
// while nobody writes. Everything that takes time and needs no lock (connections, statements) is
// done when it is made. Used by the flip; one thread.
#pragma once

#include <memory>

#include "bridge/flip.h"
#include "bridge/verify/live.h"
#include "bridge/verify/trail.h"

namespace switchback {

class LastLook {
 public:
  /// Throws what a side throws that is not there.
  LastLook(Supervisor& supervisor, Trail& trail);

  /// Both pumps stand, all that the primary has was applied. Gives up in time for what is left to
  /// do before the deadline. Throws what the readers throw.
  LockCompare compare(Deadline deadline);

 private:
  Trail& trail_;
  LiveSides live_;
  std::unique_ptr<RowReader> old_side_, postgres_;
};

}  // namespace switchback
