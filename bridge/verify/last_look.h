// The comparison under a flip's lock: what was applied and not compared before, read on both sides
// while nobody writes. Everything that takes time and needs no lock (connections, statements) is
// done when it is made. Used by the flip; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bridge/flip.h"
#include "bridge/verify/footing.h"
#include "bridge/verify/live.h"
#include "bridge/verify/trail.h"

namespace switchback {

class LastLook {
 public:
  /// What must not have changed by then: what was not compared in time and was given up, commits
  /// that capture saw nothing of, and how fences, capture and tables stand.
  struct Ground {
    std::uint64_t dropped = 0;
    std::uint64_t unexplained = 0;
    Footing footing;
  };
  /// As it is now, before anything that a flip stands on is looked at. Throws what a side throws.
  static Ground ground(const Supervisor& supervisor, const Trail& trail);

  /// Throws what a side throws that is not there.
  LastLook(Supervisor& supervisor, Trail& trail, Ground ground);

  /// Both pumps stand, all that the primary has was applied. Gives up in time for what is left to
  /// do before the deadline. Throws what the readers throw.
  LockCompare compare(Deadline deadline);

 private:
  std::string changed() const;

  const Supervisor& supervisor_;
  Trail& trail_;
  const Ground ground_;
  LiveSides live_;
  std::unique_ptr<RowReader> old_side_, postgres_;
};

}  // namespace switchback
