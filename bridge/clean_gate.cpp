#include "bridge/clean_gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>

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

/// Nothing differs but rows that changed each time they were looked at: what is under way is no
/// difference, and the drain carries it.
bool only_unsettled(const VerifyReport& report) {
  return std::all_of(report.tables.begin(), report.tables.end(), [](TableReport table) {
    table.unsettled = 0;
    return table.identical();
  });
}

std::optional<VerifyReport> compare(Verifier& verifier, GateCheck& check) {
  try {
    const std::uint64_t run = verifier.order({});
    const Deadline deadline = Deadline::in(kPatience);
    const Pace pace(0, {});
    for (;;) {
      const std::string answer = verifier.answer(run);
      if (!answer.starts_with("{\"running\":true")) return parse_verify_report(answer);
      if (deadline.passed()) break;
      pace.wait(kBetweenLooks);
    }
    check.value = "the comparison that a flip needs takes longer than four minutes";
    check.cure = "`switchback verify`, then the flip";
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUnreachable) throw;
    check.value = fmt::format("no full comparison: {}", error.what());
    check.cure = "`switchback verify`, then the flip";
  }
  return std::nullopt;
}

SweepStands met(std::optional<VerifyStatus> sweep, std::string value) {
  return {{kName, std::move(value), kLimit}, std::move(sweep)};
}

}  // namespace

SweepStands sweep_for_flip(Verifier& verifier, const FlipRequest& request) {
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
  const auto report = compare(verifier, check);
  if (!report) return {check, last};
  last = verifier.last();
  if (last && last->clean) return met(last, fmt::format("identical at {}", last->at));
  if (last && only_unsettled(*report)) {
    return met(last, fmt::format("identical at {}, but for rows that change all the time: {}",
                                 last->at, last->why));
  }
  if (last) check.value = last->why;
  return {check, last};
}

}  // namespace switchback
