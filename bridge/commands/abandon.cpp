// `switchback abandon`: takes the bridge off while the old store is primary.
#include <fmt/format.h>

#include <chrono>

#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/mending_record.h"
#include "bridge/private_postgres.h"
#include "bridge/site.h"
#include "state/ledger/audit.h"
#include "state/ledger/state_dir.h"

namespace switchback {
namespace {

// Writes that went to PostgreSQL would be lost to the application if the old store were set free
// behind them.
void require_old_primary(const Site& site, const MendingRecord& mending) {
  const auto deadline = Deadline::in(std::chrono::seconds(10));
  const GateState state = site.old_side->make_gate(site.group())->inspect(deadline);
  const auto begun = mending.pending();
  const bool old_is_right =
      state.door == GateState::Door::kOpen && begun && begun->primary == Side::kOld;
  if (begun && !old_is_right) mending.require_none();
  // Files have no gate of their own: what is known of them went with a lost state directory.
  const GateState postgres = site.postgres->make_gate(site.group())->inspect(deadline);
  const bool postgres_primary = postgres.epoch != 0 && postgres.door == GateState::Door::kOpen;
  if (state.door == GateState::Door::kOpen && !(state.epoch == 0 && postgres_primary)) return;
  if (state.door == GateState::Door::kOpen) {
    throw Error(ErrorKind::kRefused, Retry::kNever,
                "writes go to postgres, and nothing is known of a bridge at the old store",
                {.next = "put the state directory back; or copy what you need out of PostgreSQL, "
                         "then run remove-postgres.sql"});
  }
  throw Error(ErrorKind::kRefused, Retry::kNever,
              fmt::format("the old store is {}: writes go to postgres", to_string(state.door)),
              {.next = "switchback rollback, and then switchback abandon"});
}

}  // namespace

ExitCode abandon_command(const GlobalOptions& global, const AbandonOptions& options) {
  const Config config = read_config(global);
  if (!options.yes &&
      !confirmed(fmt::format("Takes every trace of bridge {} off both sides; the old store stays "
                             "as it is, and the rows in PostgreSQL stay too.",
                             config.bridge))) {
    return ExitCode::kNo;
  }
  StateDir state = StateDir::open(config.state_dir);
  state.lock();
  const Site site = open_site(config, SchemaUse::kTry);
  MendingRecord mending(state.file("mending"));
  require_old_primary(site, mending);
  AuditLog audit = AuditLog::open(config.state_dir);
  audit.append({"abandon", who_asks(), ""});
  // The old side last: as long as its gate row is there, a second call still knows who is primary.
  site.postgres->remove();
  site.old_side->remove();
  mending.end();
  std::error_code ignored;
  std::filesystem::remove(config.run_dir / "primary", ignored);
  std::filesystem::remove(config.run_dir, ignored);  // unless somebody else has something in it
  fmt::print("every trace is off; the old store is primary, as before. Backups stay in {}\n",
             config.state_dir.string());
  if (config.postgres_from == PostgresFrom::kPrivate) {
    fmt::print("the private PostgreSQL still runs, with the rows in it; to stop it: {}\n",
               PrivatePostgres(private_postgres_folder(config)).stop_command());
  }
  return ExitCode::kDone;
}

}  // namespace switchback
