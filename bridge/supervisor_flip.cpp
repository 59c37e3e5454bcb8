// The supervisor's half of a flip: the gates that only it can look at, what happens around the
// locked stretch, and the records that follow.
#include <fmt/format.h>

#include <random>
#include <utility>

#include "bridge/certificate.h"
#include "bridge/open_gates.h"
#include "bridge/rehearsal.h"
#include "bridge/report_json.h"
#include "bridge/supervisor.h"
#include "bridge/verify/last_look.h"
#include "bridge/verify/trailing.h"
#include "bridge/watchdog.h"
#include "state/base/durable_file.h"
#include "state/base/json_text.h"
#include "state/base/log.h"
#include "state/base/sha256.h"

namespace switchback {
namespace {

constexpr std::chrono::seconds kCatchUpWithin{5};
constexpr std::uintmax_t kRoomForRecords = std::uintmax_t{1} << 20;

}  // namespace

/// For the comparison under the lock.
struct FlipLook {
  LastLook::Ground ground;  // as it was before the gates were asked
  std::unique_ptr<LastLook> prepared = {};
};

void Supervisor::prepare(FlipLook& look) {
  trailing_->catch_up(Deadline::in(kCatchUpWithin));
  try {
    look.prepared = std::make_unique<LastLook>(*this, trail_, look.ground);
  } catch (const Error&) {
    // The gates name who is in the way.
  }
}

LockCompare Supervisor::compare_under_lock(FlipLook& look, Deadline deadline) {
  if (!look.prepared) look.prepared = std::make_unique<LastLook>(*this, trail_, look.ground);
  LockCompare compared = look.prepared->compare(deadline);
  if (!compared.differing.empty()) trailing_->end_clean(compared.differing.front());
  return compared;
}

FlipHooks Supervisor::hooks(const FlipRequest& request, std::shared_ptr<FlipLook> look) {
  const auto dog = std::make_shared<Watchdog>();
  FlipHooks hooks;
  hooks.closing = [this] { tell(true); };
  hooks.between_tries = [this] { trailing_->catch_up(Deadline::in(kCatchUpWithin)); };
  hooks.verify = [this, look = std::move(look)](Deadline deadline) {
    return compare_under_lock(*look, deadline);
  };
  hooks.watch = [this, dog, grace = request.max_pause](Deadline deadline) {
    dog->watch(deadline, grace);
    reads_.hold();
  };
  hooks.unwatch = [this, dog] {
    dog->stand_down();
    reads_.release();
  };
  return hooks;
}

// What neither side nor the pump knows.
std::vector<GateCheck> Supervisor::own_gates(const FlipRequest& request, const AskForSweep& ask,
                                             std::optional<VerifyStatus>& sweep) const {
  std::vector<GateCheck> found;
  std::error_code code;
  const auto space = std::filesystem::space(state_.path(), code);
  const bool room = code || space.available >= kRoomForRecords;
  found.push_back({"state directory",
                   code ? code.message()
                        : fmt::format("writable; {} MiB are free in {}", space.available >> 20,
                                      state_.path().string()),
                   "writable, 1 MiB", room, room ? "" : "make room there"});
  if (ask) {
    SweepStands stands = ask();
    sweep = std::move(stands.sweep);
    found.push_back(std::move(stands.check));
  }
  if (request.to == Side::kPostgres) {
    for (auto& check : rehearse_reverse(*site_, state_.file("rehearsal"))) {
      found.push_back(std::move(check));
    }
  }
  return found;
}

GateCheck Supervisor::trail_gate() const {
  const TrailStatus trail = trail_.status();
  if (trail.differing == 0) {
    return {"compared behind", fmt::format("all but the last {} changes", trail.owed),
            "nothing differs; the rest is compared under the lock"};
  }
  return {"compared behind",
          fmt::format("{} rows differ that were applied lately{}", trail.differing,
                      trail.examples.empty() ? "" : ": " + trail.examples.front()),
          "nothing differs", false, "`switchback verify --repair` applies what the primary has"};
}

FlipOutcome Supervisor::run_flip(const FlipRequest& request, const std::string& by,
                                 const AskForSweep& ask, std::optional<VerifyStatus>& sweep) {
  struct Hurry {
    TrailingVerifier& verifier;
    explicit Hurry(TrailingVerifier& of) : verifier(of) { verifier.hurry(); }
    ~Hurry() { verifier.calm(); }
  } const hurry(*trailing_);
  // A side was lost in the middle: the main loop asks the gates what came of it.
  const auto interrupted = [&](const Error& error) {
    begin_again(request, error);
    audit_.append({"flip interrupted", by, ""});
  };
  try {
    const OpenGates gates(*site_);
    epochs_.require_not_older(gates.old_side->inspect(Deadline::in(kLookWithin)),
                              gates.postgres->inspect(Deadline::in(kLookWithin)));
    const auto look = std::make_shared<FlipLook>(FlipLook{LastLook::ground(*this, trail_)});
    const auto flowing = pump();
    FlipHooks around = hooks(request, look);
    around.measured = pauses_.read(request.to);
    around.gates = [&] {
      auto found = own_gates(request, ask, sweep);
      // Last, so that little is owed when the lock comes.
      if (!request.dry_run) prepare(*look);
      found.push_back(trail_gate());
      return found;
    };
    Flip flip(gates.gates(), *flowing, journal_, std::move(around), std::random_device{}());
    return flip.run(request);
  } catch (const Error& error) {
    interrupted(error);
    throw;
  } catch (const std::exception& error) {
    const Error ours(ErrorKind::kInternal, Retry::kLater, error.what());
    interrupted(ours);
    throw ours;
  }
}

// What was not decided has been taken back, so writes go where they went, and clients that were
// told of a flip need not wait until the side that was lost is there again.
void Supervisor::begin_again(const FlipRequest& request, const Error& error) {
  log_error(fmt::format("flip to {}: {}", to_string(request.to), error.what()));
  bool settled = false;
  try {
    settled = !journal_.pending();
    if (settled) tell(false);
  } catch (const Error& another) {
    log_warning(another.what());
  }
  const std::lock_guard lock(mutex_);
  picture_.error = error;
  picture_.phase = settled ? phase_of(picture_.primary) : Phase::kFlipping;
  bring_up_again_ = true;
  changed_.notify_all();
}

void Supervisor::require_can_flip() const {
  const std::lock_guard lock(mutex_);
  const bool settled = picture_.phase == Phase::kForward || picture_.phase == Phase::kReverse;
  if (settled && !bring_up_again_) return;
  throw Error(
      ErrorKind::kRefused, Retry::kLater,
      settled ? std::string("the last flip failed, and not both sides could be asked since")
              : fmt::format("the bridge is in phase {}; only forward and reverse can flip",
                            to_string(picture_.phase)),
      {.next = "wait until `switchback status` shows forward or reverse, and both sides up"});
}

FlipReport Supervisor::flip(const FlipRequest& request, const std::string& by,
                            const AskForSweep& ask) {
  if (request.group != kOnlyGroup) {
    throw Error(ErrorKind::kUsage, Retry::kNever, request.group + ": there is no such group",
                {.next = "leave --group out: the one group there is so far is \"all\""});
  }
  const std::unique_lock one(flip_mutex_, std::try_to_lock);
  if (!one) {
    throw Error(ErrorKind::kRefused, Retry::kLater,
                "another flip is under way, or the bridge is coming up or being mended",
                {.next = "wait until `switchback status` shows forward or reverse, and both up"});
  }
  require_can_flip();
  state_.probe();
  look_at_tables();
  columns_.require_same(*site_);
  FlipReport report;
  report.outcome = run_flip(request, by, ask, report.sweep);
  if (request.dry_run) return report;
  if (report.outcome.flipped) {
    const std::lock_guard lock(mutex_);
    picture_.primary = report.outcome.primary;
    picture_.epoch = report.outcome.epoch;
  }
  try {
    conclude(request, by, report);
  } catch (const Error& error) {
    // The gates have it right; the main loop makes pump, phase and records follow them.
    begin_again(request, error);
    if (!report.outcome.flipped) throw;
    throw Error(error.kind(), error.retry(),
                fmt::format("writes go to {} now (epoch {}), but what follows a flip failed: {}",
                            to_string(request.to), report.outcome.epoch, error.message()),
                error.detail());
  }
  return report;
}

void Supervisor::conclude(const FlipRequest& request, const std::string& by, FlipReport& report) {
  // First of all the clients, who wait for this; the records of it can follow.
  tell(false);
  const char* const event = request.to == Side::kPostgres ? "cutover" : "rollback";
  audit_.append({request.drill ? fmt::format("{} drill", event) : std::string(event), by,
                 flip_json(report.outcome)});
  if (report.outcome.flipped || report.outcome.drilled) {
    pauses_.add(request.to, {report.outcome.parts, report.outcome.drilled});
  }
  if (report.outcome.flipped) {
    epochs_.note(report.outcome.epoch, report.outcome.epoch);
    if (request.to == Side::kPostgres) forget_followed();
    start_pump(other(request.to));
    set_phase(phase_of(request.to));
    report.certificate = write_certificate(state_, *site_, request, report, by);
    const auto page = page_of(report.certificate);
    JsonWriter json;
    json.begin_object()
        .member("path", report.certificate.string())
        .member("hash", sha256_of(read_file(report.certificate)))
        .member("page", page.string())
        .member("page_hash", sha256_of(read_file(page)))
        .end_object();
    audit_.append({std::string(kCertificateEvent), by, json.take()});
    notify();
  }
  settle_other_side();
}

}  // namespace switchback
