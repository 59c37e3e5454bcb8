// A child process that ends this one with SIGKILL if a flip overruns between its lock and its
// commit: a sidecar that was stopped, or hangs on a dead disk, must not keep the application's
// writers waiting for ever. The kernel frees the SQLite locks with the process; PostgreSQL's side
// has timeouts of its own. Killing is safe at any instant: the next start recovers. One thread.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "state/base/deadline.h"
#include "state/base/unique_fd.h"

namespace switchback {

class Watchdog {
 public:
  Watchdog() = default;
  ~Watchdog() { stand_down(); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// From now on this process is ended `grace` after the deadline, unless stand_down() comes first.
  /// Throws Error(kInternal) if no child can be made.
  void watch(Deadline deadline, std::chrono::milliseconds grace);
  void stand_down() noexcept;

 private:
  pid_t child_ = -1;
  UniqueFd lifeline_;  // closing it tells the child that all went well
};

}  // namespace switchback
