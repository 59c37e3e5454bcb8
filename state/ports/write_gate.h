// What can lock, close (fence) and open one side of one group. The flip knows only this. Used by
// one thread, the flip's, on a connection of its own. Destroying a gate that is locked unlocks it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "state/base/deadline.h"
#include "state/model/phase.h"
#include "state/model/position.h"
#include "state/model/table_map.h"

namespace switchback {

/// The next value an automatic key may take on one side: the other side continues from the higher.
struct Counter {
  TableId table{};
  std::string column;      // in PostgreSQL
  std::int64_t value = 0;  // the last value handed out
};

/// What the opening side must know of the closing one.
struct OpenPlan {
  std::vector<Counter> counters;
};

/// A reason why a flip should not be tried now.
struct Obstacle {
  std::string what;  // "3 transactions are older than 5 s: pid 4711 (psql), …"
  std::string cure;  // the next command or step
};

/// One condition of a flip, as it was found. Of one name there may be several that are not met.
struct GateCheck {
  std::string name;   // "long transactions"
  std::string value;  // how it stands, in words
  std::string limit;  // what it may be at most
  bool ok = true;
  std::string cure = {};     // the next command or step; empty if ok
  bool best_effort = false;  // cannot be proven on this side, only be looked at
};

/// What of them stands in the way.
std::vector<Obstacle> obstacles_of(const std::vector<GateCheck>& checks);

class WriteGate {
 public:
  virtual ~WriteGate() = default;

  /// What this side durably says. Waits for a COMMIT in doubt (a row lock held by a dying session).
  virtual GateState inspect(Deadline deadline) = 0;

  /// Looks without locking: all that could make lock() or prepare() fail or wait, met or not.
  virtual std::vector<GateCheck> look() = 0;
  std::vector<Obstacle> obstacles() { return obstacles_of(look()); }

  /// Makes this side ready to be left: the destination of a flip is told while nothing is locked
  /// (PostgreSQL makes its slot). Idempotent. May take seconds.
  virtual void make_ready_to_open() = 0;

  /// Does ahead what lock() or close() would else make writers wait for (what is on its way to a
  /// disk). Comes before each try, before anybody waits; may take seconds.
  virtual void make_ready_to_close() {}

  /// Holds off every writer without refusing any: they wait. False: could not in time, and nothing
  /// has changed.
  virtual bool lock(Deadline deadline) = 0;

  /// Every write this side ever accepted is at or before the returned position. While locked.
  virtual Position mark() = 0;

  /// Automatic keys handed out so far. While locked, or (for recovery) while closed.
  virtual std::vector<Counter> counters() = 0;

  /// Does everything of open() but its COMMIT, which then cannot fail for want of a lock. False:
  /// could not in time, and nothing has changed.
  virtual bool prepare(Epoch epoch, const OpenPlan& plan, Deadline deadline) = 0;

  /// What this side holds of the other one's changes, as it says itself. While prepared: in the
  /// transaction that open() commits, so that no copy of this side can take its place in between.
  virtual Position applied() = 0;

  /// While locked: fences this side durably at `epoch`. Idempotent. False: not closed and nothing
  /// has changed, but the lock may be gone as well (SQLite beside an open reader): unlock(), start
  /// over.
  virtual bool close(Epoch epoch, Deadline deadline) = 0;

  /// Unfences this side durably at `epoch`: the COMMIT of prepare(), or the whole. Idempotent;
  /// throws Error(kUnreachable) if the outcome is unknown (ask inspect()).
  virtual void open(Epoch epoch, const OpenPlan& plan) = 0;

  /// Gives up lock() and prepare(). No effect after close() or open().
  virtual void unlock() noexcept = 0;

  /// After the other side was opened: gives back what only the primary needs (PostgreSQL drops its
  /// slot). Idempotent.
  virtual void settle_closed() = 0;
};

}  // namespace switchback
