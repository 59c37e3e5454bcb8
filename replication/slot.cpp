#include "replication/slot.h"

#include <chrono>

#include "state/base/advice.h"
#include "state/base/deadline.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

// Slots are the cluster's, not the database's: one of this name may be another bridge's, that of a
// staging database beside this one with the same configuration, say.
constexpr const char* kInspect =
    "SELECT plugin, database, active_pid, confirmed_flush_lsn, restart_lsn, wal_status,"
    " coalesce(database = pg_catalog.current_database(), false)"
    " FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
constexpr const char* kDrop =
    "SELECT pg_catalog.pg_drop_replication_slot(slot_name)"
    " FROM pg_catalog.pg_replication_slots WHERE slot_name = $1"
    " AND database = pg_catalog.current_database()";
constexpr const char* kBirth =
    "SELECT born_lsn FROM switchback.slot WHERE bridge = $1 AND store = $2 AND slot = $3";
constexpr const char* kRecordBirth =
    "INSERT INTO switchback.slot (bridge, store, slot, born_lsn) VALUES ($1, $2, $3, $4)";
constexpr const char* kSlotPatience = "SET lock_timeout = '10s'";
constexpr std::chrono::seconds kStreamEndPatience{5};
constexpr const char* kBetweenLooks = "SELECT pg_catalog.pg_sleep(0.01)";
constexpr const char* kForgetBirth = "DELETE FROM switchback.slot WHERE bridge = $1 AND store = $2";

Lsn lsn_of(std::string_view text) {
  const auto lsn = parse_lsn(text);
  if (!lsn) {
    throw Error(ErrorKind::kInternal, Retry::kNever,
                "expected a log position, got '" + std::string(text) + "'",
                {.object = "PostgreSQL"});
  }
  return *lsn;
}

Lsn lsn_at(const Result& result, int column) {
  return result.is_null(0, column) ? Lsn{} : lsn_of(result.text(0, column));
}

}  // namespace

SlotState inspect_slot(Connection& sql, const std::string& slot) {
  const Result result = sql.exec(kInspect, {slot});
  SlotState state;
  if (result.rows() == 0) return state;
  state.exists = true;
  state.plugin = result.string(0, 0);
  state.database = result.string(0, 1);
  if (!result.is_null(0, 2)) state.active_pid = result.integer(0, 2);
  state.confirmed = lsn_at(result, 3);
  state.restart = lsn_at(result, 4);
  state.wal_status = result.string(0, 5);
  state.is_here = result.boolean(0, 6);
  return state;
}

void require_free_name(const SlotState& state, const std::string& slot) {
  if (!state.exists || state.is_here) return;
  throw Error(ErrorKind::kRefused, Retry::kNever,
              "another database of this server has a slot of this name" +
                  (state.database.empty() ? "" : ": " + state.database),
              {.object = "slot " + slot,
               .sqlstate = {},
               .next = "two bridges of one name on one server: `switchback abandon` one of them, "
                       "and give it another [bridge] name"});
}

Lsn create_slot(Connection& replication, const std::string& slot) {
  // A slot begins where every transaction that runs now has ended, in any database of the cluster.
  replication.exec(kSlotPatience);
  failpoint("pg.slot.create.before");
  try {
    // NOEXPORT_SNAPSHOT in the spelling that every server from 10 on takes.
    const Result result = replication.exec("CREATE_REPLICATION_SLOT " + quote_identifier(slot) +
                                           " LOGICAL pgoutput NOEXPORT_SNAPSHOT");
    failpoint("pg.slot.create.after");
    return lsn_at(result, 1);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBusy) throw;
    throw Error(ErrorKind::kBusy, Retry::kLater,
                "the slot waits for a transaction that was open before and does not end",
                {.object = "slot " + slot,
                 .sqlstate = error.detail().sqlstate,
                 .next = "find it (SELECT pid, datname, application_name, xact_start FROM "
                         "pg_stat_activity ORDER BY xact_start), and wait for it or end it"});
  }
}

void drop_slot(Connection& sql, const std::string& slot) {
  const Deadline patience = Deadline::in(kStreamEndPatience);
  const auto is_busy = [](const SlotState& state) { return state.is_here && state.active_pid; };
  while (is_busy(inspect_slot(sql, slot)) && !patience.passed()) sql.exec(kBetweenLooks);
  failpoint("pg.slot.drop.before");
  sql.exec(kDrop, {slot});
  failpoint("pg.slot.drop.after");
}

std::optional<Lsn> slot_birth(Connection& sql, std::string_view bridge, std::string_view store,
                              const std::string& slot) {
  const Result result = sql.exec(kBirth, {std::string(bridge), std::string(store), slot});
  if (result.rows() == 0) return std::nullopt;
  return lsn_of(result.text(0, 0));
}

void make_slot_ready(Connection& sql, Connection& replication, std::string_view bridge,
                     std::string_view store, const std::string& slot, Writers writers) {
  const SlotState state = inspect_slot(sql, slot);
  require_free_name(state, slot);
  const bool healthy = state.exists && state.plugin == "pgoutput" && state.wal_status != "lost" &&
                       slot_birth(sql, bridge, store, slot).has_value();
  if (healthy) return;
  if (writers == Writers::kPossible) {
    throw Error(ErrorKind::kHistory, Retry::kNever,
                "the slot is gone or useless while PostgreSQL takes writes; changes may be missing",
                {.object = "slot " + slot, .sqlstate = {}, .next = kDoctorFix});
  }
  if (state.exists) drop_slot(sql, slot);
  // The old record goes first and the new one comes last, so that after a crash a slot never has
  // the record of another.
  sql.exec(kForgetBirth, {std::string(bridge), std::string(store)});
  const Lsn born = create_slot(replication, slot);
  sql.exec(kRecordBirth, {std::string(bridge), std::string(store), slot, to_string(born)});
}

Lsn renew_slot(Connection& sql, Connection& replication, std::string_view bridge,
               std::string_view store, const std::string& slot) {
  require_free_name(inspect_slot(sql, slot), slot);
  drop_slot(sql, slot);
  sql.exec(kForgetBirth, {std::string(bridge), std::string(store)});
  return create_slot(replication, slot);
}

void remove_slot(Connection& sql, std::string_view bridge, std::string_view store,
                 const std::string& slot) {
  drop_slot(sql, slot);
  if (sql.exec("SELECT pg_catalog.to_regclass('switchback.slot')").is_null(0, 0)) return;
  sql.exec(kForgetBirth, {std::string(bridge), std::string(store)});
}

}  // namespace switchback
