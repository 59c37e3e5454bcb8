#include "bridge/verifier.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "bridge/verify/trailing.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/json_text.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A comparison of the sidecar's own that failed is tried again, but not at once.
constexpr milliseconds kAfterFailedSweep{60'000};
constexpr milliseconds kLookAtPhase{500};

std::string progress_json(const VerifyProgress& progress) {
  JsonWriter json;
  json.begin_object()
      .member("running", true)
      .member("table", progress.table)
      .member("step", progress.step)
      .member("rows", progress.rows)
      .member("rows_total", progress.rows_total)
      .member("tables_done", progress.tables_done)
      .member("tables", progress.tables)
      .end_object();
  return json.take();
}

/// What a flip changes itself: between two of them it says nothing.
bool moves_with_flips(const std::string& what) {
  return what.starts_with("the fence of ") || what.starts_with("the schema of ");
}

}  // namespace

Verifier::Verifier(Supervisor& supervisor, VerifyPlan plan)
    : supervisor_(supervisor),
      plan_(plan),
      file_(supervisor.state_dir().file("verify.json")),
      last_(read_last_verify(file_)) {
  // Nobody watched while no sidecar ran.
  if (last_ && last_->clean) {
    last_->clean = false;
    last_->why = "the sidecar was started since";
  }
  supervisor_.trailing().tell([this](const std::string& why) { end_clean(why); });
  thread_ = std::jthread([this](std::stop_token stop) {
    ::pthread_setname_np(::pthread_self(), "verify");
    run(std::move(stop));
  });
}

Verifier::~Verifier() {
  supervisor_.trailing().tell({});
  const std::lock_guard lock(mutex_);
  own_sweep_.request_stop();
}

std::uint64_t Verifier::order(const VerifyOrder& order) {
  const std::lock_guard lock(mutex_);
  if (wanted_ || asked_runs_) {
    throw Error(ErrorKind::kRefused, Retry::kLater, "another comparison is under way",
                {.next = "wait until it has ended"});
  }
  wanted_ = order;
  report_.reset();
  error_.reset();
  progress_ = {};
  own_sweep_.request_stop();
  changed_.notify_all();
  return ++runs_;
}

std::string Verifier::answer(std::uint64_t run) const {
  const std::lock_guard lock(mutex_);
  if (run != runs_ || run == 0) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "there is no comparison of this number",
                {.next = "POST /verify begins one"});
  }
  if (error_) throw *error_;
  return report_ ? *report_ : progress_json(progress_);
}

std::optional<VerifyStatus> Verifier::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

std::string Verifier::disturbed() const {
  const std::lock_guard lock(mutex_);
  return disturbed_;
}

bool Verifier::settled() const {
  const Phase phase = supervisor_.picture().phase;
  return phase == Phase::kForward || phase == Phase::kReverse;
}

void Verifier::run(std::stop_token stop) {
  bool up = false;
  while (!stop.stop_requested()) {
    std::optional<VerifyOrder> asked;
    {
      std::unique_lock lock(mutex_);
      const auto next = up ? std::min(due_, look_due_) : Clock::now() + kLookAtPhase;
      changed_.wait_until(lock, stop, next, [&] { return wanted_.has_value() || soon_; });
      // Not clean any more: the next comparison need not wait for its time.
      if (std::exchange(soon_, false) && plan_.every.count() != 0) due_ = Clock::now();
      asked_runs_ = wanted_.has_value();
      asked = std::exchange(wanted_, std::nullopt);
      own_sweep_ = std::stop_source();
    }
    if (stop.stop_requested()) return;
    const auto now = Clock::now();
    if (!up && settled()) {
      up = true;
      due_ = plan_.every.count() == 0 ? Clock::time_point::max() : now + plan_.first;
      look_due_ = now + plan_.watch_every;
    }
    if (asked) {
      sweep(*asked, true, stop);
    } else if (up && due_ <= now) {
      sweep({}, false, stop);
    } else if (up && look_due_ <= now) {
      look_due_ = now + plan_.watch_every;
      try {
        look_for_blind_spots();
      } catch (const Error& error) {
        // A side that is away is the pump's to report.
        log_line(LogLevel::kDebug, fmt::format("verify: {}", error.what()));
      }
    }
  }
}

void Verifier::sweep(const VerifyOrder& order, bool asked, std::stop_token stop) {
  std::stop_source either;
  const std::stop_callback on_stop(stop, [&] { either.request_stop(); });
  std::stop_token gives_way;
  {
    const std::lock_guard lock(mutex_);
    gives_way = own_sweep_.get_token();
  }
  const std::stop_callback on_order(gives_way, [&] {
    if (!asked) either.request_stop();
  });
  std::optional<Error> failed;
  try {
    const Grounds before = grounds();
    const VerifyReport report =
        run_verify(supervisor_, order, asked ? 0 : plan_.rows_per_second, either.get_token(),
                   [this](const VerifyProgress& progress) {
                     const std::lock_guard lock(mutex_);
                     progress_ = progress;
                   });
    conclude(order, report, before);
    const std::lock_guard lock(mutex_);
    if (asked) report_ = to_json(report);
  } catch (const Error& error) {
    failed = error;
  } catch (const std::exception& error) {
    failed = Error(ErrorKind::kInternal, Retry::kNever, error.what());
  }
  if (failed && !either.stop_requested()) log_warning(fmt::format("verify: {}", failed->what()));
  if (order.table.empty() && plan_.every.count() != 0) {
    // Something happened while it ran: only another one can say that all is well.
    const std::optional<VerifyStatus> last = this->last();
    const bool again = failed || (last && last->identical && !last->clean);
    due_ = Clock::now() + (again ? std::min(kAfterFailedSweep, plan_.every) : plan_.every);
  }
  const std::lock_guard lock(mutex_);
  if (asked) error_ = failed;
  asked_runs_ = false;
}

// A repair that deletes a row may have changed others, which refer to it (ON DELETE SET NULL),
// after they were compared.
std::string Verifier::why_not_clean(const VerifyReport& report, const std::string& disturbed) {
  if (!report.identical()) {
    return fmt::format("the two sides differ ({}): `switchback verify` names the rows",
                       report.example());
  }
  if (disturbed.empty() && report.repaired()) return "rows were repaired, and not compared since";
  return disturbed;
}

void Verifier::conclude(const VerifyOrder& order, const VerifyReport& report,
                        const Grounds& before) {
  const std::string words = fmt::format(
      "verify: {} in {:.1f} s",
      report.identical() ? "identical" : fmt::format("{} rows differ", report.rows_differing()),
      static_cast<double>(report.took.count()) / 1000);
  log_line(report.identical() ? LogLevel::kInfo : LogLevel::kWarning, words);
  if (!order.table.empty()) return;
  const std::string disturbed = what_changed(before, grounds());
  VerifyStatus last;
  last.at = report.finished;
  last.since = report.started;
  last.identical = report.identical();
  last.rows_differing = report.identical() ? 0 : report.rows_differing();
  last.why = why_not_clean(report, disturbed);
  last.clean = last.why.empty();
  keep(last);
  const std::lock_guard lock(mutex_);
  grounds_ = before;
  disturbed_ = disturbed;
  soon_ = soon_ || report.repaired();
}

void Verifier::keep(const VerifyStatus& last) {
  write_last_verify(file_, last);
  const std::lock_guard lock(mutex_);
  last_ = last;
}

Verifier::Grounds Verifier::grounds() const {
  Grounds now;
  const Picture picture = supervisor_.picture();
  now.epoch = picture.epoch;
  now.unexplained = picture.pump.counts.unexplained;
  now.found = picture.trail.found;
  now.dropped = picture.trail.dropped;
  if (const auto site = supervisor_.site()) now.footing = footing_of(*site);
  return now;
}

/// Empty if all is as it was.
std::string Verifier::what_changed(const Grounds& before, const Grounds& now) {
  // Each pump counts from nothing.
  const bool same_pump = now.epoch == before.epoch;
  if (now.unexplained > (same_pump ? before.unexplained : 0)) {
    return "commits that capture saw nothing of changed the old store";
  }
  if (now.found > before.found) return "rows differed shortly after they were changed";
  if (now.dropped > before.dropped) return "not all that was changed could be compared in time";
  return what_moved(before.footing, now.footing,
                    [&](const std::string& what) { return same_pump || !moves_with_flips(what); });
}

void Verifier::look_for_blind_spots() {
  std::optional<Grounds> before;
  std::optional<VerifyStatus> last;
  {
    const std::lock_guard lock(mutex_);
    before = grounds_;
    last = last_;
  }
  if (!before || !last || !last->clean || !settled()) return;
  Grounds now = grounds();
  const std::string why = what_changed(*before, now);
  if (why.empty()) {
    if (now.epoch == before->epoch) return;
    const std::lock_guard lock(mutex_);
    grounds_ = std::move(now);
    return;
  }
  end_clean(why);
}

void Verifier::end_clean(const std::string& why) {
  std::optional<VerifyStatus> last = this->last();
  if (!last || !last->clean) return;
  log_warning(fmt::format("verify: no longer clean: {}; the next full comparison will tell", why));
  last->clean = false;
  last->why = why;
  keep(*last);
  const std::lock_guard lock(mutex_);
  soon_ = true;
  changed_.notify_all();
}

}  // namespace switchback
