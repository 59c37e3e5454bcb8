// The flip: cutover and rollback are this one piece of code with the sides exchanged. It knows
// gates and a pump, nothing of what stands behind them. It locks the side that is primary, drains
// what that side accepted, prepares the other side to the last step, and only then closes the one
// and opens the other. Up to the decision everything is undone at the deadline and the application
// goes on; after it the flip is finished, by this process or by recover() in the next one. Between
// the two commits both sides refuse writes: the only order in which a crash can lose nothing. One
// thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "bridge/flip_gates.h"
#include "bridge/pause.h"
#include "bridge/pump.h"
#include "state/base/deadline.h"
#include "state/ledger/flip_journal.h"
#include "state/model/phase.h"
#include "state/ports/write_gate.h"

namespace switchback {

/// The two sides of one group, by their gates.
struct Gates {
  WriteGate& old_side;
  WriteGate& postgres;
  WriteGate& of(Side side) const { return side == Side::kOld ? old_side : postgres; }
};

struct FlipRequest {
  std::string group = "all";
  Side to = Side::kPostgres;
  std::chrono::milliseconds max_pause{500};
  int tries = 5;
  bool dry_run = false;  // gates only: nothing is locked
  bool drill = false;    // under the real locks, up to the point of no return; then all is undone
};

/// Of what was applied and not compared before, under the lock of the last try.
struct LockCompare {
  enum class Outcome { kNotDone, kSame, kDiffer, kNoTime };
  Outcome outcome = Outcome::kNotDone;
  std::uint64_t rows = 0;
  std::chrono::microseconds took{0};
  std::vector<std::string> differing = {};  // in words: table, key and what differs
};

struct FlipOutcome {
  bool flipped = false;
  bool drilled = false;  // a drill came to its end; nothing has changed
  Side primary = Side::kOld;
  Epoch epoch = 0;
  std::chrono::microseconds pause{0};  // from the first lock asked for to the other side open
  std::chrono::microseconds drain{0};
  PauseParts parts;  // what the pause was made of
  PausePredicted predicted;
  Position mark;      // proves the drain
  Position followed;  // what the other side held then
  LockCompare compared;
  int tries = 0;
  std::vector<FlipCheck> checks;    // the gates, as last looked at
  std::vector<Obstacle> obstacles;  // why not; empty if flipped
};

/// What happens around the locked stretch; every member may be empty.
struct FlipHooks {
  std::function<std::vector<GateCheck>()> gates = {};  // more of them; asked once, nothing locked
  std::vector<PauseMeasured> measured = {};            // earlier pauses in this direction
  std::function<void()> closing = {};        // before the lock: tell clients that a flip is near
  std::function<void()> between_tries = {};  // nothing locked: make the next one likelier
  std::function<LockCompare(Deadline)> verify = {};  // under the lock, after the drain
  std::function<void(Deadline)> watch = {};  // a guard that ends the process if it overruns …
  std::function<void()> unwatch = {};        // … until this
};

class Flip {
 public:
  Flip(Gates gates, Pump& pump, FlipJournal& journal, FlipHooks hooks, std::uint64_t seed)
      : gates_(gates),
        pump_(pump),
        journal_(journal),
        hooks_(std::move(hooks)),
        random_(static_cast<std::minstd_rand::result_type>(seed)) {}

  /// Flips, or says why not; then nothing has changed. Throws Error(kUnreachable) if a side was
  /// lost at a moment when only recover() can tell the outcome.
  FlipOutcome run(const FlipRequest& request);

 private:
  enum class Try { kDone, kAgain, kNo };

  void look(const FlipRequest& request, FlipOutcome& outcome);
  void look_at_sides(const FlipRequest& request);
  void look_at_pump(const FlipRequest& request, FlipOutcome& outcome);
  bool stands_the_right_way(const FlipRequest& request, FlipOutcome& outcome);
  void try_again_and_again(const FlipRequest& request, FlipOutcome& outcome);
  bool make_ready_to_open(const FlipRequest& request, FlipOutcome& outcome);
  Try attempt(const FlipRequest& request, FlipOutcome& outcome);
  Try compare(const FlipRequest& request, Deadline deadline, FlipOutcome& outcome);
  Try under_lock(const FlipRequest& request, Deadline deadline, FlipOutcome& outcome);
  bool drain(WriteGate& from, Deadline deadline, FlipOutcome& outcome);
  void require_drained(Side to, const Position& mark) const;
  void clear_journal();
  bool commit(const FlipRequest& request, const OpenPlan& plan, Deadline deadline,
              FlipOutcome& outcome);
  void undo(const FlipRequest& request);
  void wait_before_next_try(int tries);

  Gates gates_;
  Pump& pump_;
  FlipJournal& journal_;
  FlipHooks hooks_;
  std::minstd_rand random_;
  PauseGrounds grounds_;
  std::vector<FlipCheck> of_sides_;
};

/// What recover() found or made.
struct Standing {
  Side primary = Side::kOld;
  Epoch epoch = 0;
  bool finished_flip = false;  // rolled an interrupted flip forward
  bool undone_flip = false;    // reopened the side that had been primary
};

/// Brings both gates to a settled state after a crash: an open gate with the highest epoch wins;
/// two closed ones mean an interrupted flip, which is finished if the journal says it was decided
/// and `drained` can bring the opening side to the decided position, and undone otherwise.
/// `drained(side, position, deadline)` starts whatever pump is needed. Throws Error(kRefused) when
/// the two sides contradict each other (two open gates, a torn fence).
Standing recover(Gates gates, FlipJournal& journal,
                 const std::function<bool(const FlipDecision&, Deadline)>& drained,
                 Deadline deadline);

}  // namespace switchback
