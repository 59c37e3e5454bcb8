// The supervisor's part in `switchback doctor --fix`: it stops the pump, has both sides made to
// follow one another again, and brings the bridge up; and it looks now and then whether the tables
// are still as they were.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bridge/mending.h"
#include "bridge/open_gates.h"
#include "bridge/supervisor.h"
#include "bridge/verify/trailing.h"
#include "state/base/log.h"

namespace switchback {
MendReport Supervisor::mend(const MendOrder& order, std::stop_token stop,
                            const Sweep::Report& tell) {
  {
    const std::lock_guard lock(mutex_);
    pump_.reset();
  }
  state_.probe();
  trailing_->end_clean("`switchback doctor --fix` has changed rows");
  require_logical_wal();
  auto opened = std::make_shared<const Site>(open_site(config_, SchemaUse::kApply));
  {
    const std::lock_guard lock(mutex_);
    site_ = opened;
  }
  const MendReport report =
      mend_bridge(*opened, {state_, journal_, epochs_, columns_, mending_record_}, order,
                  std::move(stop), tell);
  trail_.forget();
  audit_.append({"doctor", order.by, to_json(report)});
  return report;
}

void Supervisor::order_mend(const MendOrder& order) {
  const std::lock_guard lock(mutex_);
  if (mend_wanted_ || mending_.running) {
    throw Error(ErrorKind::kRefused, Retry::kLater, "another `doctor --fix` is under way",
                {.next = "wait until it has ended"});
  }
  mend_wanted_ = order;
  mending_ = {.running = true, .compared = {}};
  mended_ = std::monostate();
  changed_.notify_all();
}

std::string Supervisor::mend_answer() const {
  const std::lock_guard lock(mutex_);
  if (mending_.running) return to_json(mending_);
  if (const auto* error = std::get_if<Error>(&mended_)) throw *error;
  if (const auto* report = std::get_if<MendReport>(&mended_)) return to_json(*report);
  throw Error(ErrorKind::kUsage, Retry::kNever, "nothing was to be mended",
              {.next = "POST /mend begins it"});
}

void Supervisor::mend_as_ordered(const MendOrder& order, std::stop_token stop) {
  std::variant<std::monostate, MendReport, Error> outcome;
  {
    const std::lock_guard lock(mutex_);
    picture_.error = Error(ErrorKind::kBusy, Retry::kLater,
                           "both sides are being compared in full, and no change flows meanwhile");
  }
  const auto end = [&] {
    const std::lock_guard lock(mutex_);
    mended_ = std::move(outcome);
    mending_.running = false;
  };
  try {
    outcome = mend(order, stop, [this](const VerifyProgress& progress) {
      const std::lock_guard lock(mutex_);
      mending_.compared = progress;
    });
    start(stop);
  } catch (const Error& error) {
    log_error(std::string("doctor: ") + error.what());
    outcome = error;
    {
      const std::lock_guard lock(mutex_);
      picture_.error.reset();
    }
    gates_unknown_ = true;
    look_who_is_open();
  } catch (...) {
    end();
    throw;
  }
  // What stands in the way of the pump is for the pump to say.
  if (!pump() && site()) start_pump(other(picture().primary));
  end();
}

// An error may have come after the gates had moved: whom the application is told to write to is
// asked of them. A side that is away is asked later.
void Supervisor::look_who_is_open() {
  if (!gates_unknown_ || !site()) return;
  try {
    const OpenGates gates(*site_);
    const GateState of_old = gates.old_side->inspect(Deadline::in(kLookWithin));
    const GateState of_postgres = gates.postgres->inspect(Deadline::in(kLookWithin));
    const bool old_open = of_old.door == GateState::Door::kOpen;
    const bool postgres_open = of_postgres.door == GateState::Door::kOpen;
    const auto begun = mending_record_.pending();
    Side primary = picture().primary;
    if (old_open != postgres_open) {
      primary = old_open ? Side::kOld : Side::kPostgres;
    } else if (begun) {
      primary = begun->primary;
    }
    bool flows = false;
    {
      const std::lock_guard lock(mutex_);
      picture_.primary = primary;
      picture_.epoch = std::max(of_old.epoch, of_postgres.epoch);
      flows = picture_.phase == Phase::kForward || picture_.phase == Phase::kReverse;
    }
    if (flows) set_phase(phase_of(primary));
    tell(false);
    gates_unknown_ = false;
  } catch (const Error& error) {
    log_warning(fmt::format("who is primary cannot be told yet: {}", error.what()));
  }
}

// Whatever an ALTER makes of the rows, they are compared in full afterwards; the sooner the pump
// stops, the less there is to repair.
void Supervisor::look_at_tables() {
  const auto flowing = pump();
  if (!flowing) return;
  const PumpProgress now = flowing->progress();
  const bool told = now.error && now.error->kind() == ErrorKind::kHistory;
  if (now.state != PumpState::kFlowing && (now.state != PumpState::kStopped || told)) return;
  try {
    columns_.require_same(*site_);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kHistory) return;  // a side that is away is the pump's to report
    // It connects anew, and its first look says the same.
    if (now.state == PumpState::kStopped) {
      flowing->restart();
    } else {
      flowing->submit([error](Pump::Parts&, const Position&) { throw error; });
    }
  }
}

}  // namespace switchback
