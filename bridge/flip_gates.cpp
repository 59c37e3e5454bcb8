#include "bridge/flip_gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bridge/quarantine.h"

namespace switchback {
namespace {

// A pump this far behind would need longer to drain than any sensible pause.
constexpr std::uint64_t kMostBacklog = 10'000;
constexpr std::size_t kMostTold = 12;  // checks, before the rest is only counted
constexpr std::string_view kLag = "lag";
constexpr std::string_view kPause = "predicted pause";

GateCheck lag_check(const PumpProgress& pump) {
  const bool ok = pump.lag.changes <= kMostBacklog;
  return {std::string(kLag),
          ok ? fmt::format("{} changes", pump.lag.changes)
             : fmt::format("{} changes are not yet applied on the other side, more than {}",
                           pump.lag.changes, kMostBacklog),
          fmt::format("{} changes", kMostBacklog), ok,
          ok ? "" : "wait until `switchback status` shows a smaller lag"};
}

GateCheck state_check(const PumpProgress& pump) {
  const bool ok = pump.state == PumpState::kFlowing;
  if (ok) return {"pump", "flowing", "flowing"};
  return {"pump",
          fmt::format("the pump is {}{}", to_string(pump.state),
                      pump.error ? fmt::format(": {}", pump.error->what()) : ""),
          "flowing", false, "see `switchback status`; flip when it is flowing"};
}

}  // namespace

std::string_view command_for(Side to) {
  return to == Side::kPostgres ? "cutover" : "rollback";
}

GateCheck quarantine_check(const PumpProgress& pump, Side to) {
  if (pump.quarantined == 0) return {"quarantine", "0 open entries", "0"};
  return {"quarantine",
          fmt::format("{} rows are in quarantine: the other side could not take them",
                      pump.quarantined),
          "0", false,
          fmt::format("`switchback quarantine list` names them and says what can be done; then "
                      "`switchback {}` again",
                      command_for(to))};
}

std::vector<FlipCheck> pump_checks(const PumpProgress& pump, Side to) {
  std::vector<GateCheck> found{state_check(pump), lag_check(pump), quarantine_check(pump, to)};
  for (const SourceTrouble& trouble : pump.troubles) {
    if (found.size() == kMostTold) {
      found.push_back({"readable",
                       fmt::format("{} in all cannot be carried over", pump.troubles.size()),
                       "all of it", false, "`switchback status` names them"});
      break;
    }
    found.push_back(
        {"readable", fmt::format("{} cannot be carried over: {}", trouble.what, trouble.why),
         "all of it", false,
         fmt::format("{}, then `switchback {}` again", trouble_cure(trouble), command_for(to))});
  }
  if (pump.troubles.empty()) found.push_back({"readable", "all of it", "all of it"});
  std::vector<FlipCheck> out;
  add_checks("bridge", std::move(found), out);
  return out;
}

FlipCheck pause_check(const PausePredicted& predicted, std::chrono::milliseconds max_pause,
                      Side to) {
  const PauseParts& parts = predicted.parts;
  std::string value =
      fmt::format("{:.0f} ms: lock {:.0f}, drain {:.0f}, compare {:.0f}, change over {:.0f} ({})",
                  in_ms(parts.total()), in_ms(parts.lock), in_ms(parts.drain), in_ms(parts.compare),
                  in_ms(parts.change_over),
                  predicted.measured == 0
                      ? std::string("a guess: none was measured yet")
                      : fmt::format("by the last {} measured and the lag", predicted.measured));
  const bool ok = predicted.in_time(max_pause);
  return {"bridge",
          {std::string(kPause), std::move(value), fmt::format("{} ms", max_pause.count()), ok,
           ok ? ""
              : fmt::format("wait for a smaller lag, allow a longer --max-pause, or measure it "
                            "anew: `switchback {} --drill`",
                            command_for(to))}};
}

void add_checks(std::string_view where, std::vector<GateCheck> checks,
                std::vector<FlipCheck>& into) {
  for (GateCheck& check : checks) into.push_back({std::string(where), std::move(check)});
}

std::vector<Obstacle> obstacles_of(const std::vector<FlipCheck>& checks) {
  std::vector<Obstacle> found;
  for (const FlipCheck& one : checks) {
    if (one.check.ok) continue;
    const std::string value = one.check.name == kPause
                                  ? fmt::format("the predicted pause is {}, more than {}",
                                                one.check.value, one.check.limit)
                                  : one.check.value;
    found.push_back({value, one.check.cure});
  }
  return found;
}

bool may_pass(const std::vector<FlipCheck>& checks) {
  return std::all_of(checks.begin(), checks.end(), [](const FlipCheck& one) {
    return one.check.ok || one.check.name == kLag || one.check.name == kPause;
  });
}

void write_checks(JsonWriter& json, const std::vector<FlipCheck>& checks) {
  json.begin_array();
  for (const FlipCheck& one : checks) {
    json.begin_object()
        .member("name", one.check.name)
        .member("side", one.where)
        .member("value", one.check.value)
        .member("limit", one.check.limit)
        .member("ok", one.check.ok)
        .member("cure", one.check.cure)
        .member("best_effort", one.check.best_effort)
        .end_object();
  }
  json.end_array();
}

std::string to_text(const std::vector<FlipCheck>& checks) {
  std::size_t name = 0, value = 0;
  for (const FlipCheck& one : checks) {
    name = std::max(name, one.check.name.size());
    // A long sentence must not push the limits of all others off the screen.
    if (one.check.ok && one.check.value.size() <= 60)
      value = std::max(value, one.check.value.size());
  }
  std::string out;
  for (const FlipCheck& one : checks) {
    const char* mark = !one.check.ok ? "NO" : one.check.best_effort ? "(ok)" : "ok";
    out += fmt::format("{:<4}  {:<8}  {:<{}}  {:<{}}  limit: {}\n", mark, one.where, one.check.name,
                       name, one.check.value, value, one.check.limit);
    if (!one.check.cure.empty()) out += fmt::format("      cure: {}\n", one.check.cure);
  }
  return out;
}

}  // namespace switchback
