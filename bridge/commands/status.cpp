// `switchback status`: from the running sidecar if there is one, else from both sides.
#include "bridge/status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "bridge/admin_client.h"
#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/signals.h"
#include "bridge/status_source.h"

namespace switchback {
namespace {

constexpr std::chrono::seconds kStatusLimit{10};
constexpr std::chrono::seconds kWatchInterval{1};
constexpr const char* kClearScreen = "\x1b[H\x1b[2J";

Status read_status(const Config& config) {
  if (const auto sidecar = AdminClient::find(config.state_dir)) {
    return parse_status(sidecar->get("/status", kStatusLimit));
  }
  return status_without_sidecar(config);
}

void print(const Status& status, const StatusOptions& options) {
  if (options.watch && !options.json && ::isatty(STDOUT_FILENO) != 0)
    fmt::print("{}", kClearScreen);
  fmt::print("{}{}", options.json ? to_json(status) : to_text(status), options.json ? "\n" : "");
  std::fflush(stdout);
}

}  // namespace

ExitCode status_command(const GlobalOptions& global, const StatusOptions& options) {
  const Config config = read_config(global);
  StopOnSignal stop;
  Status status = read_status(config);
  print(status, options);
  while (options.watch && stop.wait(kWatchInterval)) {
    status = read_status(config);
    print(status, options);
  }
  const bool all_up = std::all_of(status.sides.begin(), status.sides.end(),
                                  [](const SideStatus& side) { return side.up; });
  return status.running || all_up ? ExitCode::kDone : ExitCode::kUnreachable;
}

}  // namespace switchback
