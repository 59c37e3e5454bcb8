#include "bridge/status_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bridge/conninfo.h"
#include "bridge/old_store.h"
#include "bridge/quarantine.h"
#include "bridge/site.h"
#include "replication/meta.h"
#include "state/ledger/state_dir.h"

namespace switchback {
namespace {

constexpr std::chrono::seconds kPatience{5};

constexpr const char* kRows =
    "SELECT l.table_name, greatest(c.reltuples, s.n_live_tup, 0)::bigint FROM "
    "(SELECT DISTINCT bridge, table_name FROM switchback.load) l LEFT JOIN pg_class c ON (SELECT "
    "n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) "
    "|| '.' || c.relname = l.table_name AND c.relkind IN ('r', 'p') "
    "LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid WHERE l.bridge = $1 ORDER BY 1";

std::vector<SideStatus> sides_of(const Config& config) {
  SideStatus old_side;
  old_side.side = Side::kOld;
  old_side.where = old_store_place(config).string();
  old_side.error = old_store_missing(config);
  old_side.up = old_side.error.empty();
  SideStatus postgres;
  postgres.side = Side::kPostgres;
  postgres.where = describe_conninfo(config.conninfo);
  postgres.up = true;
  return {old_side, postgres};
}

void note_error(Status& status, const Error& error) {
  for (auto& side : status.sides) {
    if (side.side != side_of(error)) continue;
    side.up = error.kind() != ErrorKind::kUnreachable;
    side.error = error.what();
  }
  status.needs_you.push_back(error.what());
}

void note_quarantine(Status& status) {
  if (status.quarantined == 0) return;
  status.needs_you.push_back(quarantine_needs_you(status.quarantined));
}

/// Which side the gates say is primary, and what to do if neither is.
void judge_gates(Status& status, GroupStatus& group, const GateState& old_side,
                 const GateState& postgres) {
  using Door = GateState::Door;
  group.epoch = std::max(old_side.epoch, postgres.epoch);
  if (old_side.epoch == 0 && postgres.epoch == 0) {
    group.phase = Phase::kIdle;
    group.primary = Side::kOld;
    status.needs_you.push_back("nothing is installed yet: switchback run");
    return;
  }
  const bool old_open = old_side.door == Door::kOpen;
  const bool postgres_open = postgres.epoch != 0 && postgres.door == Door::kOpen;
  if (old_open != postgres_open) {
    group.primary = old_open ? Side::kOld : Side::kPostgres;
    group.phase = old_open ? Phase::kForward : Phase::kReverse;
    if (!status.running) {
      status.needs_you.push_back(
          "no sidecar runs: captured changes wait and nothing is lost; start it: switchback run");
    }
    return;
  }
  group.phase = Phase::kFlipping;
  status.needs_you.push_back(
      old_open ? "both sides are open: stop writing to one of them, then switchback doctor"
               : "a flip was interrupted, both sides refuse writes: switchback run finishes or "
                 "undoes it");
}

void read_postgres_tables(Status& status, Connection& connection) {
  if (!has_meta(connection)) return;
  status.tables = table_rows(connection, status.bridge);
  const Result loading = connection.exec(
      "SELECT table_name, sum(rows)::bigint FROM switchback.load WHERE bridge = $1 GROUP BY 1 "
      "HAVING NOT bool_and(done) ORDER BY 1",
      {status.bridge});
  for (int row = 0; row < loading.rows(); ++row) {
    LoadStatus load;
    load.table = loading.string(row, 0);
    load.rows = static_cast<std::uint64_t>(loading.integer(row, 1));
    status.load.push_back(std::move(load));
  }
}

}  // namespace

std::vector<TableStatus> table_rows(Connection& connection, const std::string& bridge) {
  const Result found = connection.exec(kRows, {bridge});
  std::vector<TableStatus> tables;
  for (int row = 0; row < found.rows(); ++row) {
    tables.push_back(
        {found.string(row, 0),
         found.is_null(row, 1) ? 0 : static_cast<std::uint64_t>(found.integer(row, 1))});
  }
  return tables;
}

Status status_without_sidecar(const Config& config) {
  require_postgres(config);
  Status status;
  status.bridge = config.bridge;
  status.running = StateDir::holder(config.state_dir).has_value();  // with [admin] listen = "off"
  status.sides = sides_of(config);
  status.last_verify = read_last_verify(config.state_dir / "verify.json");
  GroupStatus group{.name = "all", .phase = Phase::kIdle, .primary = {}, .epoch = 0, .lag = {}};
  try {
    const Site site = open_site(config, SchemaUse::kTry);
    const Deadline deadline = Deadline::in(kPatience);
    const GateState old_side = site.old_side->make_gate(site.group())->inspect(deadline);
    const GateState postgres = site.postgres->make_gate(site.group())->inspect(deadline);
    judge_gates(status, group, old_side, postgres);
    for (const Side side : {Side::kOld, Side::kPostgres}) {
      for (const auto& entry : site.of(side).quarantine()) {
        if (!entry.accepted) ++status.quarantined;
      }
    }
    Connection connection = connect(config, "status");
    read_postgres_tables(status, connection);
    if (!status.load.empty()) group.phase = Phase::kSnapshot;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUsage) throw;
    note_error(status, error);
  }
  status.groups.push_back(group);
  note_quarantine(status);
  return status;
}

}  // namespace switchback
