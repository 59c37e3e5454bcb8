#include "bridge/flip.h"

#include <fmt/format.h>

#include <thread>

#include "bridge/quarantine.h"
#include "state/base/failpoint.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kConnectWithin{5};
// A burst of writes is over, or applied, in less than this.
constexpr std::chrono::seconds kLagPassesWithin{5};
constexpr milliseconds kBetweenLooks{50};

microseconds since(Deadline::Clock::time_point start) {
  return std::chrono::duration_cast<microseconds>(Deadline::Clock::now() - start);
}

}  // namespace

void Flip::look_at_sides(const FlipRequest& request) {
  for (const Side side : {other(request.to), request.to}) {
    const auto start = Deadline::Clock::now();
    add_checks(to_string(side), gates_.of(side).look(), of_sides_);
    (side == request.to ? grounds_.look_to : grounds_.look_from) = since(start);
  }
}

void Flip::look_at_pump(const FlipRequest& request, FlipOutcome& outcome) {
  const PumpProgress pump = pump_.progress();
  grounds_.speed = pump.speed;
  grounds_.backlog = pump.lag.changes;
  outcome.predicted = predict_pause(grounds_);
  outcome.checks = pump_checks(pump, request.to);
  FlipCheck pause = pause_check(outcome.predicted, request.max_pause, request.to);
  // A drill is how a prediction that is too long is made anew.
  if (request.drill) pause.check.ok = true;
  outcome.checks.push_back(std::move(pause));
  outcome.checks.insert(outcome.checks.end(), of_sides_.begin(), of_sides_.end());
  outcome.obstacles = obstacles_of(outcome.checks);
}

void Flip::look(const FlipRequest& request, FlipOutcome& outcome) {
  grounds_.earlier = hooks_.measured;
  look_at_pump(request, outcome);
  // They may take seconds, and wait for the pump; what the sides say must be fresh.
  const bool ask = request.dry_run || may_pass(outcome.checks);
  if (ask && hooks_.gates) add_checks("bridge", hooks_.gates(), of_sides_);
  const std::vector<Obstacle> unasked = ask ? std::vector<Obstacle>{} : outcome.obstacles;
  look_at_sides(request);
  const Deadline patience = Deadline::in(kLagPassesWithin);
  for (;;) {
    look_at_pump(request, outcome);
    if (outcome.obstacles.empty()) {
      outcome.obstacles = unasked;  // it has passed, but stood in the way of asking
      return;
    }
    if (!may_pass(outcome.checks) || patience.passed()) return;
    std::this_thread::sleep_for(kBetweenLooks);
  }
}

bool Flip::make_ready_to_open(const FlipRequest& request, FlipOutcome& outcome) {
  try {
    gates_.of(request.to).make_ready_to_open();
    return true;
  } catch (const Error& error) {
    // Nobody is locked yet, so whatever is in the way is only a reason to say no.
    if (error.kind() != ErrorKind::kBusy && error.kind() != ErrorKind::kDisk) throw;
    outcome.obstacles.push_back({error.message(), error.detail().next});
    return false;
  }
}

bool Flip::stands_the_right_way(const FlipRequest& request, FlipOutcome& outcome) {
  const Deadline soon = Deadline::in(std::chrono::seconds(10));
  const GateState here = gates_.of(other(request.to)).inspect(soon);
  const GateState there = gates_.of(request.to).inspect(soon);
  outcome.primary = other(request.to);
  outcome.epoch = std::max(here.epoch, there.epoch);
  using Door = GateState::Door;
  if (here.door == Door::kOpen && there.door == Door::kClosed) return true;
  if (here.door == Door::kClosed && there.door == Door::kOpen) {
    outcome.primary = request.to;
    outcome.obstacles.push_back({fmt::format("writes go to {} already", to_string(request.to)),
                                 fmt::format("nothing to do; the way back is `switchback {}`",
                                             command_for(other(request.to)))});
    return false;
  }
  outcome.obstacles.push_back(
      {fmt::format("{} is {} and {} is {}", to_string(other(request.to)), to_string(here.door),
                   to_string(request.to), to_string(there.door)),
       fmt::format("a {} starts with the first open and the second closed; see "
                   "`switchback status`",
                   command_for(request.to))});
  return false;
}

FlipOutcome Flip::run(const FlipRequest& request) {
  FlipOutcome outcome;
  if (!stands_the_right_way(request, outcome)) return outcome;
  // One side is open, so nothing is undecided: a note that the last flip could not clear must not
  // be taken for this one's.
  if (!request.dry_run) journal_.clear();
  // Right after a start or another flip the pump is only just connecting.
  pump_.wait_flowing(Deadline::in(kConnectWithin));
  look(request, outcome);
  if (!outcome.obstacles.empty() || request.dry_run) return outcome;

  if (!make_ready_to_open(request, outcome)) return outcome;
  if (hooks_.closing && !request.drill) hooks_.closing();
  pump_.hold_housekeeping(true);
  try {
    try_again_and_again(request, outcome);
  } catch (...) {
    pump_.hold_housekeeping(false);
    throw;
  }
  pump_.hold_housekeeping(false);
  if (outcome.flipped || outcome.drilled) outcome.obstacles.clear();
  return outcome;
}

void Flip::try_again_and_again(const FlipRequest& request, FlipOutcome& outcome) {
  Try result = Try::kAgain;
  while (result == Try::kAgain && outcome.tries < request.tries) {
    outcome.obstacles.clear();
    if (outcome.tries != 0) {
      wait_before_next_try(outcome.tries);
      if (hooks_.between_tries) hooks_.between_tries();
      // Who is in the way may have a name by now; and autovacuum, if it is back, is made to
      // yield.
      for (const Side side : {other(request.to), request.to}) {
        for (auto& one : gates_.of(side).obstacles()) outcome.obstacles.push_back(std::move(one));
      }
    }
    ++outcome.tries;
    result = attempt(request, outcome);
  }
}

Flip::Try Flip::attempt(const FlipRequest& request, FlipOutcome& outcome) {
  outcome.parts = {};
  struct Guard {
    const FlipHooks& hooks;
    ~Guard() {
      if (hooks.unwatch) hooks.unwatch();
    }
  } const guard{hooks_};
  auto start = Deadline::Clock::now();
  try {
    gates_.of(other(request.to)).make_ready_to_close();
    start = Deadline::Clock::now();
    const Deadline deadline(start + request.max_pause);
    if (hooks_.watch) hooks_.watch(deadline);
    const Try result = under_lock(request, deadline, outcome);
    if (result != Try::kDone) return result;
  } catch (const Error& error) {
    // Once decided, only recovery may say what happened; before, everything is taken back.
    if (journal_.pending()) throw;
    undo(request);
    if (error.retry() == Retry::kNever) throw;
    outcome.obstacles.push_back({error.what(), "see `switchback status`"});
    return Try::kAgain;
  }
  outcome.pause = since(start);
  outcome.parts.change_over = outcome.drilled ? microseconds(0)
                                              : outcome.pause - outcome.parts.lock -
                                                    outcome.parts.drain - outcome.parts.compare;
  if (outcome.drilled) return Try::kDone;
  outcome.flipped = true;
  outcome.primary = request.to;
  return Try::kDone;
}

// kDone: what could be compared under the lock is the same on both sides; otherwise all is undone.
Flip::Try Flip::compare(const FlipRequest& request, Deadline deadline, FlipOutcome& outcome) {
  using Outcome = LockCompare::Outcome;
  if (!hooks_.verify) return Try::kDone;
  outcome.compared = hooks_.verify(deadline);
  switch (outcome.compared.outcome) {
    case Outcome::kNotDone:
    case Outcome::kSame:
      return Try::kDone;
    case Outcome::kDiffer:
      for (const std::string& row : outcome.compared.differing) {
        outcome.obstacles.push_back(
            {row, "`switchback verify --repair` applies what the primary has"});
      }
      undo(request);
      return Try::kNo;
    case Outcome::kNoTime:
      outcome.obstacles.push_back(
          {fmt::format("the rows that were changed last could not all be compared in the time "
                       "that was left: {} were",
                       outcome.compared.rows),
           "try again at a quieter moment or with a larger --max-pause"});
      undo(request);
      return Try::kAgain;
  }
  return Try::kNo;
}

Flip::Try Flip::under_lock(const FlipRequest& request, Deadline deadline, FlipOutcome& outcome) {
  WriteGate& from = gates_.of(other(request.to));
  auto start = Deadline::Clock::now();
  if (!from.lock(deadline)) {
    outcome.obstacles.push_back(
        {"the lock could not be had in time: other writers or readers "
         "hold it",
         "try again at a quieter moment or with a larger --max-pause"});
    return Try::kAgain;
  }
  outcome.parts.lock = since(start);
  if (!drain(from, deadline, outcome)) {
    outcome.obstacles.push_back(
        {fmt::format("draining took longer than --max-pause {} ms", request.max_pause.count()),
         "wait for a smaller lag or allow a longer --max-pause"});
    undo(request);
    return Try::kAgain;
  }
  // The last changes of all may have been such that the other side could not take them.
  if (const PumpProgress pump = pump_.progress(); pump.quarantined != 0) {
    const GateCheck check = quarantine_check(pump, request.to);
    outcome.obstacles.push_back({check.value, check.cure});
    undo(request);
    return Try::kNo;
  }
  start = Deadline::Clock::now();
  if (const Try same = compare(request, deadline, outcome); same != Try::kDone) return same;
  outcome.parts.compare = since(start);
  if (request.drill) {
    undo(request);
    outcome.drilled = true;
    return Try::kDone;
  }
  const OpenPlan plan{from.counters()};
  if (commit(request, plan, deadline, outcome)) return Try::kDone;
  outcome.obstacles.push_back({"the other side could not be made ready in time",
                               "try again, or allow a longer --max-pause"});
  undo(request);
  return Try::kAgain;
}

bool Flip::drain(WriteGate& from, Deadline deadline, FlipOutcome& outcome) {
  const auto start = Deadline::Clock::now();
  outcome.mark = from.mark();
  const bool done = pump_.wait_applied(outcome.mark, deadline) && pump_.park(deadline);
  outcome.drain = outcome.parts.drain = since(start);
  outcome.followed = pump_.progress().durable;
  return done;
}

// The pump knows what it committed; whether the side still is the one that it committed to, only
// that side can say.
void Flip::require_drained(Side to, const Position& mark) const {
  if (gates_.of(to).applied().reaches(mark)) return;
  throw Error(
      ErrorKind::kHistory, Retry::kNever,
      fmt::format("{} no longer has all that was applied to it: it was set back, or an older "
                  "copy took its place; nothing has changed",
                  to_string(to)),
      {.object = to == Side::kPostgres ? "PostgreSQL" : "the old store",
       .next = "what is missing is applied again if it can be; then `switchback verify`, and "
               "the flip"});
}

bool Flip::commit(const FlipRequest& request, const OpenPlan& plan, Deadline deadline,
                  FlipOutcome& outcome) {
  WriteGate& from = gates_.of(other(request.to));
  WriteGate& to = gates_.of(request.to);
  const Epoch epoch = outcome.epoch + 1;
  if (!to.prepare(epoch, plan, deadline)) return false;
  require_drained(request.to, outcome.mark);
  if (deadline.passed()) return false;
  journal_.decide({request.group, request.to, epoch, outcome.mark});
  failpoint("flip.close.before");
  if (!from.close(epoch, deadline)) {
    journal_.clear();
    return false;
  }
  failpoint("flip.close.after");
  failpoint("flip.open.before");
  to.open(epoch, plan);
  failpoint("flip.open.after");
  outcome.epoch = epoch;
  clear_journal();
  return true;
}

// The flip is done, whatever becomes of the note that it was decided: recovery finds it finished,
// and the next decision replaces it. Told as a failure, it would be taken for undone.
void Flip::clear_journal() {
  try {
    journal_.clear();
  } catch (const Error& error) {
    log_warning(fmt::format("the flip is done, and still noted as decided: {}", error.what()));
  }
}

void Flip::undo(const FlipRequest& request) {
  gates_.of(request.to).unlock();
  gates_.of(other(request.to)).unlock();
  pump_.resume();
}

void Flip::wait_before_next_try(int tries) {
  // Gives waiting writers a turn: without a pause the next lock would queue right behind this one.
  const int most = 50 << std::min(tries, 4);
  std::this_thread::sleep_for(
      milliseconds(std::uniform_int_distribution<int>(most / 2, most)(random_)));
}

namespace {

Standing settled(Side primary, Epoch epoch) {
  return {.primary = primary, .epoch = epoch};
}

Standing finish(Gates gates, FlipJournal& journal, const FlipDecision& decision) {
  WriteGate& to = gates.of(decision.to);
  to.open(decision.epoch, {gates.of(other(decision.to)).counters()});
  journal.clear();
  Standing standing = settled(decision.to, decision.epoch);
  standing.finished_flip = true;
  return standing;
}

// Nothing was decided: the side that had been primary opens again, above every epoch seen.
Standing reopen(Gates gates, FlipJournal& journal, Side from, Epoch epoch) {
  gates.of(from).open(epoch, {gates.of(other(from)).counters()});
  journal.clear();
  Standing standing = settled(from, epoch);
  standing.undone_flip = true;
  return standing;
}

[[noreturn]] void contradict(const GateState& old_side, const GateState& postgres) {
  throw Error(ErrorKind::kRefused, Retry::kNever,
              fmt::format("the two sides contradict each other: old is {} at epoch {}, postgres is "
                          "{} at epoch {}",
                          to_string(old_side.door), old_side.epoch, to_string(postgres.door),
                          postgres.epoch),
              {.next = "find out who changed the fence or restored a copy; see with `switchback "
                       "doctor` what each side has, and say with `switchback doctor --fix "
                       "--primary old` (or postgres) which of them is right"});
}

}  // namespace

Standing recover(Gates gates, FlipJournal& journal,
                 const std::function<bool(const FlipDecision&, Deadline)>& drained,
                 Deadline deadline) {
  using Door = GateState::Door;
  const GateState old_side = gates.old_side.inspect(deadline);
  const GateState postgres = gates.postgres.inspect(deadline);
  if (old_side.door == Door::kTorn || postgres.door == Door::kTorn) contradict(old_side, postgres);
  const bool old_open = old_side.door == Door::kOpen;
  const bool postgres_open = postgres.door == Door::kOpen;
  if (old_open && postgres_open) contradict(old_side, postgres);
  if (old_open || postgres_open) {
    const Side primary = old_open ? Side::kOld : Side::kPostgres;
    const GateState& open = old_open ? old_side : postgres;
    const GateState& closed = old_open ? postgres : old_side;
    // A closed gate above the open one: the open side was restored from a copy.
    if (closed.epoch > open.epoch) contradict(old_side, postgres);
    journal.clear();
    return settled(primary, open.epoch);
  }
  const Epoch highest = std::max(old_side.epoch, postgres.epoch);
  const auto decision = journal.pending();
  if (!decision) {
    // The side that closed last, and so has the higher epoch, was the primary.
    const Side from = old_side.epoch > postgres.epoch ? Side::kOld : Side::kPostgres;
    return reopen(gates, journal, from, highest + 1);
  }
  if (decision->epoch < highest) contradict(old_side, postgres);
  log_warning(fmt::format("a flip to {} was interrupted after it was decided; finishing it",
                          to_string(decision->to)));
  if (!drained(*decision, deadline)) {
    throw Error(ErrorKind::kUnreachable, Retry::kLater,
                "an interrupted flip cannot be finished yet: the last changes are not applied",
                {.next = "bring both sides up; both refuse writes until then"});
  }
  return finish(gates, journal, *decision);
}

}  // namespace switchback
