// One side as the origin of changes. A source is used by one thread, the pump's, except for wake().
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "state/base/deadline.h"
#include "state/model/chunk.h"
#include "state/model/position.h"

namespace switchback {

enum class Pull {
  kChunk,  // `out` holds changes, or none and a boundary alone
  kIdle,   // nothing came before the deadline, or wake() was called
  kOwed,   // `out` holds changes that the sink has had since before start(): see compared()
};

/// How far the other side is behind, as far as the source can tell without asking it.
struct Lag {
  std::uint64_t changes = 0;
  std::uint64_t bytes = 0;
  std::chrono::milliseconds age{0};  // of the oldest change not yet acknowledged
};

/// What the bridge did to, and found at, the side it reads from; since the source was made.
struct SourceCounts {
  std::uint64_t prunes = 0;       // writes of ours that an application's transaction may have met
  std::uint64_t unexplained = 0;  // commits in which capture saw nothing and nothing tells why
  friend bool operator==(const SourceCounts&, const SourceCounts&) = default;
};

/// What cannot be read of the side now. Its rows stay as they are on the other side, and the rest
/// flows.
struct SourceTrouble {
  std::string what;   // a file, by its absolute path
  std::string why;    // with line and column where there are any
  bool held = false;  // readable, but it would delete so much that a person is to look at it
  friend bool operator==(const SourceTrouble&, const SourceTrouble&) = default;
};

class ChangeSource {
 public:
  virtual ~ChangeSource() = default;

  /// Begins (or begins again) right after `applied`, which the sink says it holds. Throws
  /// Error(kHistory) if the source's history does not contain that position.
  virtual void start(const Position& applied) = 0;

  /// Fills `out` (cleared first) with the next chunk, in an order valid to apply change by change.
  /// Waits until there is one, the deadline passes, wake() is called or a stop is requested. A
  /// large batch is many chunks of which only the last has a boundary. Throws Error; then only
  /// start() may be called next.
  virtual Pull pull(Chunk& out, Deadline deadline, std::stop_token stop) = 0;

  /// Everything up to `durable` may be forgotten. Only notes it; acted upon in pull() and idle().
  virtual void acknowledge(const Position& durable) noexcept = 0;

  /// Both sides have been compared in all that changed up to `position`; {}: in nothing yet. What
  /// lies behind it is kept, even if it is acknowledged, and a start() at a later position first
  /// hands out the keys of what lies between, as kOwed. Never called: nothing is owed.
  virtual void compared(const Position& /*position*/) noexcept {}

  /// Housekeeping that may disturb the application (pruning): what is due, if the moment is good.
  /// Called by the pump now and then between two batches, never while a flip is under way; must be
  /// over within some 100 ms.
  virtual void idle() = 0;

  /// Ends every read transaction and holds no lock until the next pull(). Called while writers are
  /// held off for a flip: what counts() says afterwards is of all they did. Throws as pull() does.
  virtual void park() = 0;

  virtual Lag lag() = 0;

  virtual SourceCounts counts() { return {}; }

  /// What stands, not what passes: an application's write in progress is no trouble yet.
  virtual std::vector<SourceTrouble> troubles() { return {}; }

  /// Makes a waiting pull() return kIdle soon. Any thread.
  virtual void wake() noexcept = 0;
};

}  // namespace switchback
