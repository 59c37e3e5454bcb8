// How long a connection of ours waits for a lock, and how impatiently. SQLite has no way to be told
// that a lock is free, so every waiter polls; its own busy timeout soon sleeps 100 ms at a time,
// which under a steady writer is too seldom to ever win. This one asks again every half millisecond
// or sooner, until a deadline. One connection, one thread; the object must not outlive the
// connection.
#pragma once

#include <sqlite3.h>

#include <chrono>

#include "state/base/deadline.h"

namespace switchback {

class BusyWait {
 public:
  /// `between` two tries: a flip, which must hit the gap between two transactions of a writer at
  /// full speed, asks more often.
  BusyWait(sqlite3* database, Deadline deadline,
           std::chrono::microseconds between = std::chrono::microseconds(500));
  ~BusyWait();
  BusyWait(const BusyWait&) = delete;
  BusyWait& operator=(const BusyWait&) = delete;

 private:
  static int wait(void* self, int tries);

  sqlite3* database_;
  Deadline deadline_;
  std::chrono::microseconds between_;
};

/// What a connection does outside of any BusyWait: the same for two seconds, so that no question of
/// ours fails because the application was just committing.
void wait_by_default(sqlite3* database);

}  // namespace switchback
