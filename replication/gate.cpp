#include "replication/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "replication/counters.h"
#include "replication/history.h"
#include "replication/install.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "replication/slot.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

// How long open() may wait for locks when nothing is prepared: recovery, with nobody waiting.
constexpr milliseconds kRecoveryPatience{30'000};
constexpr milliseconds kForTheOtherCommit{1'000};

// How long a new slot may wait for transactions to end: a flip that has locked nothing yet.
constexpr const char* kSlotPatience = "SET lock_timeout = '10s'";

constexpr const char* kOpenTransactions = R"(
SELECT string_agg(who, ', ') FROM (
  SELECT format('pid %s (%s)', pid, coalesce(nullif(application_name, ''), 'unnamed')) AS who
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
  UNION ALL SELECT format('the prepared transaction %L', gid) FROM pg_prepared_xacts) open)";

constexpr const char* kGateRow =
    "SELECT gate, epoch FROM switchback.group_state WHERE bridge = $1 AND grp = $2";

GateState::Door door_of(std::string_view gate, const std::vector<FencedTable>& fences) {
  const bool open = gate == "open";
  for (const FencedTable& fence : fences) {
    if (!(open ? fence.open() : fence.closed())) return GateState::Door::kTorn;
  }
  return open ? GateState::Door::kOpen : GateState::Door::kClosed;
}

bool out_of_time(const Error& error) {
  return error.kind() == ErrorKind::kBusy;
}

}  // namespace

PostgresGate::PostgresGate(std::string conninfo, std::shared_ptr<const Mapping> mapping,
                           std::string store, std::string group)
    : conninfo_(std::move(conninfo)),
      store_(std::move(store)),
      group_(std::move(group)),
      mapping_(std::move(mapping)),
      tables_(fenced_tables(*mapping_, store_, group_)),
      random_(static_cast<std::minstd_rand::result_type>(names_for(store_, group_).advisory_lock)) {
}

PostgresGate::~PostgresGate() {
  unlock();
}

Connection& PostgresGate::connection() {
  if (!connection_ || !connection_->alive()) {
    held_ = Held::kNothing;
    connection_.reset();
    connection_ = Connection::open(conninfo_, fmt::format("switchback {} gate", mapping_->bridge));
  }
  return *connection_;
}

void PostgresGate::limit(Deadline deadline, milliseconds lock_timeout) {
  // Zero would mean no limit at all.
  const auto left = std::max(milliseconds(1), deadline.remaining());
  const auto lock_ms = std::clamp(lock_timeout, milliseconds(1), left).count();
  connection_->exec(fmt::format(
      "SET LOCAL statement_timeout = {0}; SET LOCAL idle_in_transaction_session_timeout = {0};"
      "SET LOCAL lock_timeout = {1}",
      left.count(), lock_ms));
}

void PostgresGate::begin(Deadline deadline) {
  connection().exec("BEGIN");
  limit(deadline, deadline.remaining());
  connection_->exec(kPassFence);
}

template <class Attempt>
bool PostgresGate::in_time(Attempt attempt) {
  try {
    attempt();
    return true;
  } catch (const Error& error) {
    unlock();
    if (out_of_time(error)) return false;
    throw;
  } catch (...) {
    unlock();
    throw;
  }
}

milliseconds PostgresGate::deadlock_timeout() {
  return milliseconds(
      connection()
          .exec("SELECT setting::bigint FROM pg_settings WHERE name = 'deadlock_timeout'")
          .integer(0, 0));
}

GateState PostgresGate::inspect(Deadline deadline) {
  Connection& sql = connection();
  const bool alone = held_ == Held::kNothing;
  if (!has_meta(sql)) return {};
  if (alone) begin(deadline);
  try {
    // The row lock waits for a COMMIT in doubt; a plain read would say the state before it.
    const Result row =
        sql.exec(std::string(kGateRow) + (alone ? " FOR UPDATE" : ""), {mapping_->bridge, group_});
    GateState state;
    if (row.rows() > 0) {
      state.door = door_of(row.text(0, 0), read_fences(sql, *mapping_, tables_));
      state.epoch = static_cast<Epoch>(row.integer(0, 1));
    }
    if (alone) sql.exec("ROLLBACK");
    return state;
  } catch (...) {
    if (alone) unlock();
    throw;
  }
}

void PostgresGate::make_autovacuum_yield() {
  const Result busy = connection().exec(
      "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
      "WHERE a.backend_type = 'autovacuum worker' AND l.granted "
      "AND l.mode = 'ShareUpdateExclusiveLock' AND l.locktype = 'relation' LIMIT 1");
  if (busy.rows() == 0) return;
  // It yields once we have waited for deadlock_timeout, and comes back a minute later at the
  // soonest.
  const auto patience = deadlock_timeout() + milliseconds(1000);
  in_time([&] {
    begin(Deadline::in(patience * 2));
    limit(Deadline::in(patience * 2), patience);
    for (const FencedTable& table : read_fences(*connection_, *mapping_, tables_)) {
      connection_->exec("LOCK TABLE ONLY " + table.quoted() + " IN SHARE UPDATE EXCLUSIVE MODE");
    }
    connection_->exec("ROLLBACK");
  });
}

std::vector<GateCheck> PostgresGate::look() {
  if (held_ == Held::kNothing) make_autovacuum_yield();
  return look_at_gates(connection(), *mapping_, store_, tables_);
}

void PostgresGate::make_ready_to_open() {
  Connection replication = Connection::open(
      conninfo_, fmt::format("switchback {} slot", mapping_->bridge), ConnectionUse::kReplication);
  replication.exec(kSlotPatience);
  try {
    make_slot_ready(connection(), replication, mapping_->bridge, store_,
                    names_for(mapping_->bridge, store_).slot,
                    store_is_open() ? Writers::kPossible : Writers::kFenced);
  } catch (const Error& error) {
    if (error.detail().sqlstate != "55P03") throw;
    const Result open = connection().exec(kOpenTransactions);
    throw Error(ErrorKind::kBusy, Retry::kLater,
                "a slot begins only when every open transaction of the cluster has ended; it was "
                "waited for " +
                    (open.is_null(0, 0) ? "one that has ended now" : open.string(0, 0)),
                {.object = "PostgreSQL", .sqlstate = "55P03", .next = "end it, and try again"});
  }
}

bool PostgresGate::lock(Deadline deadline) {
  if (held_ == Held::kLock) return true;
  for (;;) {
    if (try_lock(deadline, true)) {
      held_ = Held::kLock;
      return true;
    }
    // Writers that queued behind us get their turn before the next try.
    std::uniform_int_distribution<int> jitter_ms(5, 40);
    const milliseconds pause(jitter_ms(random_));
    if (deadline.remaining() <= pause) return false;
    std::this_thread::sleep_for(pause);
  }
}

bool PostgresGate::try_lock(Deadline deadline, bool closing) {
  return in_time([&] {
    const auto patience = deadlock_timeout();
    begin(deadline);
    const auto fences = read_fences(*connection_, *mapping_, tables_);
    // First the mode that autovacuum yields to and that no writer meets …
    limit(deadline, patience + milliseconds(500));
    for (const FencedTable& table : fences) {
      connection_->exec("LOCK TABLE ONLY " + table.quoted() + " IN SHARE UPDATE EXCLUSIVE MODE");
    }
    // … then the one that holds writers off. A wait longer than deadlock_timeout could make the
    // application the victim of a deadlock; a quarter of it never does.
    for (const FencedTable& table : fences) {
      limit(deadline, patience / 4);
      connection_->exec(set_fence(table, closing));
    }
    limit(deadline, patience / 4);
    connection_->exec(std::string(kGateRow) + " FOR UPDATE", {mapping_->bridge, group_});
  });
}

Position PostgresGate::mark() {
  if (!marker_ || !marker_->alive()) {
    marker_.reset();
    marker_ = Connection::open(conninfo_, fmt::format("switchback {} marker", mapping_->bridge));
  }
  const std::uint64_t history = postgres_history_by_sql(*marker_);
  marker_->exec("BEGIN");
  // Everything accepted committed before the lock was had, so before this message: a reader that
  // has passed the message's own position has all of it.
  const Result at = marker_->exec(
      "SELECT (pg_logical_emit_message(true, 'switchback', 'drain') - '0/0'::pg_lsn)::bigint");
  const auto lsn = static_cast<std::uint64_t>(at.integer(0, 0));
  failpoint("pg.gate.mark.commit.before");
  marker_->exec("COMMIT");
  failpoint("pg.gate.mark.commit.after");
  return {history, lsn, 0};
}

std::vector<Counter> PostgresGate::counters() {
  return read_counters(connection(), *mapping_, tables_);
}

bool PostgresGate::prepare(Epoch epoch, const OpenPlan& plan, Deadline deadline) {
  const bool done = in_time([&] {
    if (!try_lock(deadline, false)) {
      throw Error(ErrorKind::kBusy, Retry::kLater, "PostgreSQL's tables are locked by others");
    }
    open_locked(epoch, plan);
    // Next the other side closes, and its COMMIT may end after the deadline. The flip is decided
    // then: the server must not have ended this meanwhile.
    connection_->exec(fmt::format("SET LOCAL idle_in_transaction_session_timeout = {}",
                                  (deadline.remaining() + kForTheOtherCommit).count()));
  });
  if (done) {
    held_ = Held::kOpening;
    prepared_ = epoch;
  }
  return done;
}

Position PostgresGate::applied() {
  return read_checkpoint(connection(), mapping_->bridge, store_);
}

void PostgresGate::open_locked(Epoch epoch, const OpenPlan& plan) {
  Connection& sql = *connection_;
  for (const auto& statement : plan_triggers_on(sql, *mapping_, tables_)) sql.exec(statement);
  raise_counters(sql, *mapping_, tables_, plan.counters);
  sql.exec(
      "UPDATE switchback.group_state SET gate = 'open', epoch = $3, primary_side = 'postgres', "
      "phase = 'reverse', changed_at = clock_timestamp() WHERE bridge = $1 AND grp = $2",
      {mapping_->bridge, group_, std::to_string(epoch)});
}

void PostgresGate::close_gate_row(Epoch epoch) {
  Connection& sql = *connection_;
  for (const auto& statement : plan_triggers_off(sql, *mapping_, tables_)) sql.exec(statement);
  sql.exec(
      "UPDATE switchback.group_state SET gate = 'closed', epoch = $3, primary_side = 'old', "
      "phase = 'forward', changed_at = clock_timestamp() WHERE bridge = $1 AND grp = $2",
      {mapping_->bridge, group_, std::to_string(epoch)});
}

void PostgresGate::commit() {
  try {
    connection_->exec("COMMIT");
    held_ = Held::kNothing;
  } catch (const Error& error) {
    held_ = Held::kNothing;
    if (connection_->alive()) throw;
    connection_.reset();
    throw Error(ErrorKind::kUnreachable, Retry::kLater,
                "the connection was lost during the COMMIT that moves the gate; its outcome is "
                "unknown until PostgreSQL answers again (" +
                    error.message() + ")",
                error.detail());
  }
}

bool PostgresGate::close(Epoch epoch, Deadline deadline) {
  if (held_ != Held::kLock) {
    const GateState now = inspect(deadline);
    if (now.door == GateState::Door::kClosed && now.epoch >= epoch) return true;
    if (!lock(deadline)) return false;
  }
  try {
    const bool done = in_time([&] {
      limit(deadline, deadline.remaining());
      close_gate_row(epoch);
    });
    if (!done) return false;
  } catch (const Error&) {
    // The server ends a session that outlives its deadline between two statements. No COMMIT was
    // sent, so nothing was closed, and whoever called may take everything back.
    if (connection_->alive()) throw;
    return false;
  }
  failpoint("pg.gate.close.commit.before");
  commit();
  failpoint("pg.gate.close.commit.after");
  return true;
}

void PostgresGate::open(Epoch epoch, const OpenPlan& plan) {
  if (held_ != Held::kOpening || prepared_ != epoch) {
    unlock();
    const Deadline deadline = Deadline::in(kRecoveryPatience);
    const GateState now = inspect(deadline);
    if (now.door == GateState::Door::kOpen && now.epoch >= epoch) return;
    while (!prepare(epoch, plan, deadline)) {
      if (deadline.passed()) {
        throw Error(
            ErrorKind::kBusy, Retry::kLater,
            "PostgreSQL's tables are locked by others, so they cannot be opened",
            {.object = "group " + group_, .sqlstate = {}, .next = "see `switchback status`"});
      }
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
  failpoint("pg.gate.open.commit.before");
  commit();
  failpoint("pg.gate.open.commit.after");
}

void PostgresGate::unlock() noexcept {
  held_ = Held::kNothing;
  if (!connection_) return;
  if (connection_->alive() && connection_->in_transaction()) {
    PQclear(PQexec(connection_->raw(), "ROLLBACK"));
  }
}

// Groups of one store share its slot.
bool PostgresGate::store_is_open() {
  const Result open = connection().exec(
      "SELECT 1 FROM switchback.group_state WHERE bridge = $1 AND grp = ANY ($2) AND gate = 'open'",
      {mapping_->bridge, text_array(groups_of(*mapping_, store_))});
  return open.rows() > 0;
}

void PostgresGate::settle_closed() {
  // The last group that is back on the old side drops the slot.
  if (store_is_open()) return;
  remove_slot(connection(), mapping_->bridge, store_, names_for(mapping_->bridge, store_).slot);
}

}  // namespace switchback
