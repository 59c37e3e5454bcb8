#include "bridge/clean_gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

#include "bridge/flip_gates.h"
#include "bridge/verify/pace.h"
#include "bridge/verify/report.h"
#include "state/base/deadline.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr const char* kName = "last verify";
constexpr const char* kLimit = "identical, and nothing unexplained since";
constexpr std::chrono::milliseconds kBetweenLooks{20};
constexpr std::chrono::minutes kPatience{4};
constexpr std::chrono::seconds kStuckAfter{5};
constexpr std::string_view kRunning = "{\"running\":true";

/// Nothing differs but rows that changed each time they were looked at: what is under way is no
/// difference, and the drain carries it.
bool only_unsettled(const VerifyReport& report) {
  return std::all_of(report.tables.begin(), report.tables.end(), [](TableReport table) {
    table.unsettled = 0;
    return table.identical();
  });
}

/// What keeps a comparison from coming to its end: a pump that fails again and again, and so
/// carries nothing across, or a file that it does not take.
class Stuck {
 public:
  explicit Stuck(const Supervisor& supervisor) : supervisor_(supervisor) {}

  /// Why, once it has lasted; asked again and again. A source tells of such a file only then.
  std::optional<std::string> why() {
    const PumpProgress pump = supervisor_.picture().pump;
    if (!pump.troubles.empty()) {
      return fmt::format("not compared, since {} cannot be carried over",
                         pump.troubles.front().what);
    }
    const bool fails = pump.state == PumpState::kRetrying || pump.state == PumpState::kStopped;
    const auto now = Deadline::Clock::now();
    if (!fails || pump.batches != batches_) moved_ = now;
    batches_ = pump.batches;
    if (now - moved_ < kStuckAfter) return std::nullopt;
    return fmt::format("the pump is {}: {}", to_string(pump.state),
                       pump.error ? pump.error->what() : "nothing was carried across");
  }

 private:
  const Supervisor& supervisor_;
  std::uint64_t batches_ = 0;
  Deadline::Clock::time_point moved_ = Deadline::Clock::now();
};

/// Empty while another one is under way.
std::optional<std::uint64_t> begin(Verifier& verifier) {
  try {
    return verifier.order({});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kRefused) throw;
    return std::nullopt;
  }
}

std::optional<VerifyReport> compare(const Supervisor& supervisor, Verifier& verifier,
                                    GateCheck& check) {
  check.cure = "see `switchback status`; `switchback verify`, then the flip";
  try {
    const Deadline deadline = Deadline::in(kPatience);
    const Pace pace(0, {});
    Stuck stuck(supervisor);
    std::optional<std::uint64_t> run;
    for (;;) {
      if (!run) run = begin(verifier);
      const std::string answer = run ? verifier.answer(*run) : std::string(kRunning);
      if (!answer.starts_with(kRunning)) return parse_verify_report(answer);
      if (const auto why = stuck.why()) {
        check.value = *why;
        return std::nullopt;
      }
      if (deadline.passed()) break;
      pace.wait(kBetweenLooks);
    }
    check.value = "the comparison that a flip needs takes longer than four minutes";
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUnreachable) throw;
    check.value = fmt::format("no full comparison: {}", error.what());
  }
  return std::nullopt;
}

SweepStands met(std::optional<VerifyStatus> sweep, std::string value) {
  return {{kName, std::move(value), kLimit}, std::move(sweep)};
}

}  // namespace

SweepStands sweep_for_flip(const Supervisor& supervisor, Verifier& verifier,
                           const FlipRequest& request) {
  verifier.look_for_blind_spots();
  auto last = verifier.last();
  if (last && last->clean) return met(last, fmt::format("identical at {}", last->at));
  GateCheck check{kName, last ? fmt::format("not clean: {}", last->why) : "never compared", kLimit,
                  false, "`switchback verify` names the rows; --repair applies the primary's"};
  const bool differs = last && !last->identical;
  if (request.dry_run) {
    check.ok = !differs;
    if (check.ok) {
      check.value += "; the flip compares first";
      check.cure.clear();
    }
    return {check, last};
  }
  const auto report = compare(supervisor, verifier, check);
  if (!report) return {check, last};
  check.cure = "`switchback verify` names the rows; --repair applies the primary's";
  last = verifier.last();
  if (last && last->clean) return met(last, fmt::format("identical at {}", last->at));
  if (last && only_unsettled(*report)) {
    if (const std::string why = verifier.disturbed(); !why.empty()) {
      check.value = fmt::format("compared, but meanwhile {}", why);
      check.cure = fmt::format("`switchback {}` again: it compares anew", command_for(request.to));
      return {check, last};
    }
    return met(last, fmt::format("identical at {}, but for rows that change all the time: {}",
                                 last->at, last->why));
  }
  if (last) check.value = last->why;
  return {check, last};
}

}  // namespace switchback
