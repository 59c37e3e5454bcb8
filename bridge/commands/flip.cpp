// `switchback cutover` and `switchback rollback`: through the running sidecar, or, when none runs,
// with a supervisor of its own for as long as the flip takes.
#include "bridge/flip.h"

#include <fmt/format.h>

#include "bridge/admin_client.h"
#include "bridge/admin_server.h"
#include "bridge/certificate.h"
#include "bridge/clean_gate.h"
#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/report_json.h"
#include "bridge/sidecar.h"
#include "bridge/signals.h"
#include "bridge/supervisor.h"
#include "bridge/verifier.h"

namespace switchback {
namespace {

// A comparison of four minutes, a slot, and five tries of a minute each; past this the sidecar
// hangs.
constexpr std::chrono::minutes kFlipLimit{12};

std::string flip_alone(const Config& config, const FlipOrder& order) {
  require_installed(config);
  StopOnSignal stop;
  Supervisor supervisor(config);
  supervisor.start(stop.token());
  if (stop.token().stop_requested()) {
    throw Error(ErrorKind::kRefused, Retry::kNever, "stopped before the flip; nothing has changed");
  }
  Verifier verifier(supervisor, {});
  const FlipRequest request = to_request(order, config);
  return report_json(supervisor.flip(
      request, order.by, [&] { return sweep_for_flip(supervisor, verifier, request); }));
}

void print_refused(const FlipAnswer& answer) {
  fmt::print("not flipped, and nothing has changed; writes go to {} (epoch {})\n", answer.primary,
             answer.epoch);
  for (const auto& obstacle : answer.obstacles) {
    fmt::print("  - {}\n    cure: {}\n", obstacle.what, obstacle.cure);
  }
}

void print_text(const FlipAnswer& answer, bool dry_run) {
  if (answer.flipped) {
    fmt::print(
        "writes go to {} now (epoch {}); the pause was {:.1f} ms ({:.1f} predicted)\n"
        "certificate: {}\n",
        answer.primary, answer.epoch, answer.pause_ms, answer.predicted_ms,
        page_of(answer.certificate).string());
    return;
  }
  if (answer.drilled) {
    fmt::print(
        "a drill: lock, drain and comparison were real, and all of it was undone on purpose\n"
        "writers waited for {:.1f} ms; with the change over a flip is predicted to take {:.1f} ms\n"
        "nothing has changed; writes go to {} (epoch {})\n",
        answer.pause_ms, answer.pause_ms + answer.predicted_change_over_ms, answer.primary,
        answer.epoch);
    return;
  }
  if (dry_run) fmt::print("{}", to_text(answer.checks));
  if (dry_run && answer.obstacles.empty()) {
    fmt::print("nothing stands in the way; writes go to {} (epoch {}); predicted pause {:.0f} ms\n",
               answer.primary, answer.epoch, answer.predicted_ms);
    return;
  }
  print_refused(answer);
}

std::string question_of(const Config& config, const FlipOptions& options) {
  const auto pause = options.max_pause.value_or(config.max_pause).count();
  if (options.drill) {
    return fmt::format("Writers of bridge {} wait for at most {} ms, and nothing changes. Go on?",
                       config.bridge, pause);
  }
  return fmt::format(
      "Writes of bridge {} go to {} from then on, after a pause of at most {} ms. Go on?",
      config.bridge, options.to == Side::kOld ? "the old store" : "PostgreSQL", pause);
}

}  // namespace

ExitCode flip_command(const GlobalOptions& global, const FlipOptions& options) {
  const Config config = read_config(global);
  const FlipOrder order{options.to,      options.group, options.max_pause,
                        options.dry_run, options.drill, who_asks()};
  if (!options.yes && !options.dry_run && !confirmed(question_of(config, options))) {
    return ExitCode::kNo;
  }
  const auto sidecar = AdminClient::find(config.state_dir);
  const std::string json =
      sidecar ? sidecar->post("/flip", to_json(order), kFlipLimit) : flip_alone(config, order);
  const FlipAnswer answer = parse_report(json);
  if (options.json) {
    fmt::print("{}\n", json);
  } else {
    print_text(answer, options.dry_run);
  }
  const bool yes = options.dry_run ? answer.obstacles.empty() : answer.flipped || answer.drilled;
  return yes ? ExitCode::kDone : ExitCode::kNo;
}

}  // namespace switchback
