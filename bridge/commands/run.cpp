// `switchback run`: the sidecar, until SIGTERM or Ctrl-C.
#include <fmt/format.h>

#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/old_store.h"
#include "bridge/private_postgres.h"
#include "bridge/sidecar.h"
#include "bridge/signals.h"
#include "bridge/site.h"
#include "replication/install.h"
#include "replication/schema_file.h"
#include "state/base/log.h"

namespace switchback {
namespace {

void print(const std::vector<std::string>& statements) {
  for (const auto& statement : statements) fmt::print("{};\n", statement);
}

// Everything is really run in PostgreSQL, inside a transaction that is rolled back: what the bridge
// installs can be told only where the tables exist.
ExitCode dry_run(const Config& config) {
  const Site site = open_site(config, SchemaUse::kTry);
  for (const auto& warning : site.warnings) fmt::print("-- {}\n", warning);
  Connection connection = connect(config, "dry run");
  connection.exec("BEGIN");
  if (config.schema) {
    fmt::print("-- PostgreSQL, what is missing of {}\n", config.schema->string());
    print(apply_schema(connection, read_schema_file(config), config.schema->string()));
  }
  fmt::print("-- PostgreSQL\n");
  print(plan_postgres_install(connection, *site.mapping, site.store));
  connection.exec("ROLLBACK");
  fmt::print("-- the old store: {}\n", old_store_place(config).string());
  print(site.old_side->plan_install());
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
  supervisor.note({"run", who_asks(), ""});
  supervisor.run(signals.token());
  supervisor.note({"stop", "sidecar", ""});
  log_info(
      "stopped; capture stays on, and the next run continues here. `switchback abandon` takes the "
      "bridge off");
  return ExitCode::kDone;
}

}  // namespace switchback
