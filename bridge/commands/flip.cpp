// `switchback cutover` and `switchback rollback`: through the running sidecar, or, when none runs,
// with a supervisor of its own for as long as the flip takes.
#include "bridge/flip.h"

#include <fmt/format.h>

#include "bridge/admin_client.h"
#include "bridge/admin_server.h"
#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/report_json.h"
#include "bridge/signals.h"
#include "bridge/supervisor.h"

namespace switchback {
namespace {

// A flip waits out several tries and makes a slot first; past this the sidecar hangs.
constexpr std::chrono::minutes kAnswerLimit{5};

std::string flip_alone(const Config& config, const FlipOrder& order) {
  require_installed(config);
  StopOnSignal stop;
  Supervisor supervisor(config);
  supervisor.start(stop.token());
  if (stop.token().stop_requested()) {
    throw Error(ErrorKind::kRefused, Retry::kNever, "stopped before the flip; nothing has changed");
  }
  const FlipRequest request{.group = order.group,
                            .to = order.to,
                            .max_pause = order.max_pause.value_or(config.max_pause),
                            .dry_run = order.dry_run};
  return report_json(supervisor.flip(request, order.by));
}

void print_text(const FlipAnswer& answer, bool dry_run) {
  if (answer.flipped) {
    fmt::print("writes go to {} now (epoch {}); the pause was {:.1f} ms\ncertificate: {}\n",
               answer.primary, answer.epoch, answer.pause_ms, answer.certificate);
    return;
  }
  if (dry_run && answer.obstacles.empty()) {
    fmt::print("nothing stands in the way; writes go to {} (epoch {})\n", answer.primary,
               answer.epoch);
    return;
  }
  fmt::print("not flipped, and nothing has changed; writes go to {} (epoch {})\n", answer.primary,
             answer.epoch);
  for (const auto& obstacle : answer.obstacles) {
    fmt::print("  - {}\n    cure: {}\n", obstacle.what, obstacle.cure);
  }
}

}  // namespace

ExitCode flip_command(const GlobalOptions& global, const FlipOptions& options) {
  const Config config = read_config(global);
  const FlipOrder order{options.to, options.group, options.max_pause, options.dry_run, who_asks()};
  const auto question = fmt::format(
      "Writes of bridge {} go to {} from then on, after a pause of at most {} ms. Go on?",
      config.bridge, options.to == Side::kOld ? "the old store" : "PostgreSQL",
      options.max_pause.value_or(config.max_pause).count());
  if (!options.yes && !options.dry_run && !confirmed(question)) return ExitCode::kNo;
  const auto sidecar = AdminClient::find(config.state_dir);
  const std::string json =
      sidecar ? sidecar->post("/flip", to_json(order), kAnswerLimit) : flip_alone(config, order);
  const FlipAnswer answer = parse_report(json);
  if (options.json) {
    fmt::print("{}\n", json);
  } else {
    print_text(answer, options.dry_run);
  }
  const bool yes = options.dry_run ? answer.obstacles.empty() : answer.flipped;
  return yes ? ExitCode::kDone : ExitCode::kNo;
}

}  // namespace switchback
