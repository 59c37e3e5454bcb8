// `switchback run`: the sidecar, until SIGTERM or Ctrl-C.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/private_postgres.h"
#include "bridge/sidecar.h"
#include "bridge/signals.h"
#include "bridge/site.h"

namespace switchback {
namespace {

ExitCode dry_run(const Config& config) {
  const Site site = open_site(config, SchemaUse::kTry);
  for (const auto& warning : site.warnings) fmt::print("-- {}\n", warning);
  if (config.schema) {
    fmt::print("-- PostgreSQL, what is missing of {}\n", config.schema->string());
  }
  fmt::print("-- PostgreSQL\n");
  for (const auto& statement : site.postgres->plan_install()) fmt::print("{};\n", statement);
  fmt::print("-- SQLite: {}\n", site.store().sqlite.string());
  for (const auto& statement : site.old_side->plan_install()) fmt::print("{};\n", statement);
  fmt::print("-- then: an initial load of {} tables, and every change as it comes\n",
             site.mapping->parents_first().size());
  return ExitCode::kDone;
}

}  // namespace

ExitCode run_command(const GlobalOptions& global, const RunOptions& options) {
  Config config = read_config(global);
  if (options.dry_run) return dry_run(config);
  // Before any thread is made, which all inherit that the signals are blocked.
  const StopOnSignal signals;
  if (config.postgres_from == PostgresFrom::kPrivate) {
    // Goes on without the sidecar: the application may be writing to it.
    PrivatePostgres(private_postgres_folder(config)).start();
  }
  Supervisor supervisor(std::move(config));
  const Sidecar sidecar(supervisor);
  supervisor.run(signals.token());
  spdlog::info(
      "stopped; capture stays on, and the next run continues here. `switchback abandon` takes the "
      "bridge off");
  return ExitCode::kDone;
}

}  // namespace switchback
