// The sink's session: settings, the lock that keeps a second sidecar away, what was applied.
#include "replication/meta.h"
#include "replication/names.h"
#include "replication/sink.h"

namespace switchback {
namespace {

// Statements find rows by their key, whatever the planner last knew of the table's size: a fresh
// table that grows by millions of rows must not keep a plan that reads all of it. The lock timeout
// is also how long a server may need to notice that an earlier sink's process is gone. One whose
// host or network is gone says nothing: the server asks, or it would hold its lock for hours.
constexpr const char* kSinkSettings =
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;"
    "SET lock_timeout = '3s';"
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = '30s'";

// Passes the fence, and marks the transaction so that the reverse source drops it. In one statement
// to save a round of parsing; set_config() writes no WAL, so the mark still comes first.
constexpr const char* kMark =
    "SELECT set_config('switchback.applying', 'on', true),"
    " pg_logical_emit_message(true, 'switchback', 'echo')";

constexpr const char* kWriteCheckpoint =
    "INSERT INTO switchback.checkpoint (bridge, store, history, value, proof)"
    " VALUES ($1, $2, $3::bigint, $4::bigint, $5::bigint)"
    " ON CONFLICT (bridge, store) DO UPDATE SET history = EXCLUDED.history,"
    " value = EXCLUDED.value, proof = EXCLUDED.proof, applied_at = clock_timestamp()";

constexpr const char* kLockHolder =
    "SELECT l.pid, coalesce(a.application_name, '') FROM pg_locks l"
    " LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (l.classid::bigint << 32) | l.objid::bigint = $1::bigint";

constexpr const char* kHasDeferrable =
    "SELECT EXISTS (SELECT 1 FROM pg_constraint k"
    " JOIN pg_class c ON c.oid IN (k.conrelid, k.confrelid)"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN unnest($1::text[], $2::text[]) AS m (nspname, relname) ON n.nspname = m.nspname"
    "  AND c.relname = m.relname WHERE k.condeferrable)";

}  // namespace

void PostgresSink::open_session() {
  applier_.reset();
  connection_.reset();
  unique_columns_.clear();
  // Kept only once it is complete: a session without the lock must never be taken for one with it.
  Connection session =
      Connection::open(conninfo_, "switchback " + mapping_->bridge + " sink " + store_);
  session.exec(kSinkSettings);
  take_lock(session);
  for (const auto& [name, sql] :
       {std::pair{kMarkName, kMark}, {kCheckpointName, kWriteCheckpoint}}) {
    session.exec("PREPARE " + std::string(name) + " AS " + sql);
  }
  read_deferrable(session);
  connection_ = std::move(session);
  applier_.emplace(*connection_, *mapping_);
}

void PostgresSink::take_lock(Connection& session) {
  const std::string key = std::to_string(names_for(mapping_->bridge, store_).advisory_lock);
  const Result tried = session.exec("SELECT pg_try_advisory_lock($1::bigint)", {key});
  if (tried.boolean(0, 0)) return;
  const Result holder = session.exec(kLockHolder, {key});
  try {
    session.exec("SELECT pg_advisory_lock($1::bigint)", {key});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBusy) throw;
    const std::string who =
        holder.rows() == 0 ? "" : " (pid " + holder.string(0, 0) + ", " + holder.string(0, 1) + ")";
    throw Error(ErrorKind::kRefused, Retry::kNever,
                "another switchback runs for the bridge " + mapping_->bridge + who,
                {.object = "PostgreSQL", .sqlstate = {}, .next = "stop it first"});
  }
}

void PostgresSink::read_deferrable(Connection& session) {
  std::vector<std::string> schemas, names;
  for (const TableId id : mapping_->parents_first()) {
    schemas.push_back(mapping_->table(id).schema);
    names.push_back(mapping_->table(id).table);
  }
  deferrable_ =
      session.exec(kHasDeferrable, {text_array(schemas), text_array(names)}).boolean(0, 0);
}

Position PostgresSink::applied() {
  rollback();
  if (!connection_ || !connection_->alive()) open_session();
  quarantine_.load(*connection_);
  applied_ = read_checkpoint(*connection_, mapping_->bridge, store_);
  return applied_;
}

}  // namespace switchback
