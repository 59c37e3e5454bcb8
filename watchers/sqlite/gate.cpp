#include "watchers/sqlite/gate.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "state/base/advice.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"
#include "watchers/sqlite/busy_wait.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/open_readers.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

// A COMMIT that waits for a reader keeps every new reader out, so this is also how long a flip may
// hold up the application's reads.
constexpr milliseconds kGateCommitPatience{20};
constexpr std::chrono::microseconds kBetweenTries{50};
// For calls that have no deadline of their own and meet only short locks.
constexpr milliseconds kGatePatience{10'000};
// For what no step of ours leaves behind.
const std::string kForeignHand =
    std::string("find out who restored a copy or changed the tables of switchback; ") + kDoctorFix;
constexpr std::uint64_t kEnoughDiskBytes = std::uint64_t{16} << 20;

bool is_integer(PgType type) {
  return type == PgType::kInt2 || type == PgType::kInt4 || type == PgType::kInt8;
}

bool is_autoincrement(SQLite::Database& database, const std::string& table,
                      const std::string& column) {
  int automatic = 0;
  const int code =
      sqlite3_table_column_metadata(database.getHandle(), "main", table.c_str(), column.c_str(),
                                    nullptr, nullptr, nullptr, nullptr, &automatic);
  if (code != SQLITE_OK) throw SQLite::Exception(database.getHandle(), code);
  return automatic != 0;
}

bool table_exists(SQLite::Database& database, std::string_view name) {
  SQLite::Statement look(database, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?");
  look.bind(1, std::string(name));
  return look.executeStep();
}

}  // namespace

SqliteGate::SqliteGate(SQLite::Database database, std::filesystem::path path,
                       std::shared_ptr<const Mapping> mapping, std::string store, std::string group)
    : database_(std::move(database)),
      path_(std::move(path)),
      mapping_(std::move(mapping)),
      store_(std::move(store)),
      group_(std::move(group)) {}

SqliteGate::~SqliteGate() {
  unlock();
}

// Every call of the port runs in here, so that callers see one kind of error only.
template <class Call>
auto SqliteGate::guarded(Call&& call) {
  try {
    return call();
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path_);
  }
}

bool SqliteGate::begin(const char* statement, Deadline deadline) {
  const BusyWait wait(database_.getHandle(), deadline, kBetweenTries);
  const int code = database_.tryExec(statement);
  if (code == SQLITE_BUSY) return false;
  if (code != SQLITE_OK) throw SQLite::Exception(database_.getHandle(), code);
  return true;
}

/// False: a reader was in the way for too long, and everything was rolled back.
bool SqliteGate::commit(Deadline deadline) {
  int code = SQLITE_OK;
  {
    const BusyWait wait(database_.getHandle(), deadline);
    code = database_.tryExec("COMMIT");
  }
  if (code == SQLITE_OK) {
    held_ = Held::kNothing;
    return true;
  }
  const SQLite::Exception error(database_.getHandle(), code);
  unlock();
  if (code != SQLITE_BUSY) throw error;
  return false;
}

std::vector<FenceTrigger> SqliteGate::fence(Epoch epoch) const {
  return fence_triggers(*mapping_, store_, group_, epoch);
}

std::optional<SqliteGate::Row> SqliteGate::read_row() {
  if (!table_exists(database_, kGateTable)) return std::nullopt;
  SQLite::Statement read(database_,
                         fmt::format("SELECT door, epoch FROM {} WHERE grp = ?", kGateTable));
  read.bind(1, group_);
  if (!read.executeStep()) return std::nullopt;
  const std::string door = read.getColumn(0).getString();
  if (door != "open" && door != "closed") {
    throw Error(ErrorKind::kData, Retry::kNever, "the gate row says \"" + door + "\"",
                {.object = path_.string(), .next = kForeignHand});
  }
  return Row{door == "open", static_cast<Epoch>(read.getColumn(1).getInt64())};
}

void SqliteGate::write_row(bool open, Epoch epoch) {
  SQLite::Statement write(
      database_, fmt::format("INSERT INTO {} (grp, door, epoch) VALUES (?, ?, ?) ON CONFLICT (grp) "
                             "DO UPDATE SET door = excluded.door, epoch = excluded.epoch",
                             kGateTable));
  write.bind(1, group_);
  write.bind(2, open ? "open" : "closed");
  write.bind(3, static_cast<std::int64_t>(epoch));
  write.exec();
}

GateState SqliteGate::state() {
  const auto row = read_row();
  if (!row) return {GateState::Door::kOpen, 0};  // nothing installed: the application writes freely
  const FenceSeen fence_seen = look_at_fence(database_, fence(row->epoch));
  const bool as_said =
      fence_seen == (row->open ? FenceSeen::kAbsent : FenceSeen::kIntact) || fence(0).empty();
  if (!as_said) return {GateState::Door::kTorn, row->epoch};
  return {row->open ? GateState::Door::kOpen : GateState::Door::kClosed, row->epoch};
}

GateState SqliteGate::inspect(Deadline deadline) {
  return guarded([&] {
    const BusyWait wait(database_.getHandle(), deadline);
    return state();
  });
}

std::vector<GateCheck> SqliteGate::look() {
  return guarded([&] {
    std::vector<GateCheck> found;
    const std::string name = path_.string();
    const bool read_only = sqlite3_db_readonly(database_.getHandle(), "main") == 1;
    found.push_back({"writable", read_only ? name + " is read-only" : "yes", "yes", !read_only,
                     read_only ? "give switchback's user the right to write it" : ""});
    std::error_code code;
    const auto space = std::filesystem::space(path_.parent_path(), code);
    const bool room = code || space.available >= kEnoughDiskBytes;
    found.push_back({"disk space",
                     code ? code.message()
                          : fmt::format("{} MiB are free beside {}", space.available >> 20, name),
                     "16 MiB", room, room ? "" : "free at least 16 MiB on that disk"});
    const BusyWait wait(database_.getHandle(), Deadline::in(kGatePatience));
    if (in_wal_mode(database_)) {
      found.push_back({"readers", "hold up nobody in WAL mode", "any"});
      return found;
    }
    const auto readers = lasting_readers(path_);
    for (const auto& reader : readers) {
      found.push_back({"readers",
                       fmt::format("process {} ({}) keeps a read transaction open on {}",
                                   reader.pid, reader.command, name),
                       "none for 0.3 s", false,
                       "let it finish its query: in rollback-journal mode no COMMIT passes it"});
    }
    if (readers.empty()) found.push_back({"readers", "none that stays", "none for 0.3 s"});
    return found;
  });
}

void SqliteGate::make_ready_to_open() {
  guarded([&] {
    if (sqlite3_db_readonly(database_.getHandle(), "main") == 1) {
      throw Error(
          ErrorKind::kRefused, Retry::kNever, "the database is read-only",
          {.object = path_.string(), .next = "give switchback's user the right to write it"});
    }
    if (!table_exists(database_, kGateTable)) {
      throw Error(ErrorKind::kRefused, Retry::kNever, "the bridge is not installed here",
                  {.object = path_.string(), .next = "start `switchback run`"});
    }
  });
}

bool SqliteGate::lock(Deadline deadline) {
  return guarded([&] {
    if (held_ == Held::kLocked) return true;
    require(Held::kNothing, "lock");
    if (!begin("BEGIN IMMEDIATE", deadline)) return false;
    held_ = Held::kLocked;
    try {
      const auto row = read_row();
      if (!row) {
        throw Error(ErrorKind::kRefused, Retry::kNever, "the bridge is not installed here",
                    {.object = path_.string(), .next = "start `switchback run`"});
      }
      // Made now, so that close() has little left to do; for the epoch it is most likely to get.
      fence_epoch_ = row->epoch + 1;
      if (row->open) raise_fence(database_, fence(fence_epoch_));
    } catch (...) {
      unlock();
      throw;
    }
    return true;
  });
}

Position SqliteGate::mark() {
  require(Held::kLocked, "mark");
  return guarded([&] {
    SQLite::Statement last(
        database_, fmt::format("SELECT seq, nonce, (SELECT value FROM {} WHERE name = 'history') "
                               "FROM {} ORDER BY seq DESC LIMIT 1",
                               kMetaTable, kLogTable));
    if (!last.executeStep() || last.getColumn(2).isNull()) {
      throw Error(ErrorKind::kHistory, Retry::kNever, "the log of changes is empty",
                  {.object = path_.string(), .next = kDoctorFix});
    }
    return Position{.history = static_cast<std::uint64_t>(last.getColumn(2).getInt64()),
                    .value = static_cast<std::uint64_t>(last.getColumn(0).getInt64()),
                    .proof = static_cast<std::uint64_t>(last.getColumn(1).getInt64())};
  });
}

std::int64_t SqliteGate::highest_key(const TableMap& map, const ColumnMap& key) {
  const std::string column = quote_identifier(key.old_name);
  SQLite::Statement most(
      database_, fmt::format("SELECT max({0}) FROM {1} WHERE typeof({0}) = 'integer'", column,
                             quote_identifier(map.old_table)));
  std::int64_t highest = most.executeStep() ? most.getColumn(0).getInt64() : 0;
  if (is_autoincrement(database_, map.old_table, key.old_name)) {
    SQLite::Statement counter(database_, "SELECT max(seq) FROM sqlite_sequence WHERE name = ?");
    counter.bind(1, map.old_table);
    if (counter.executeStep()) highest = std::max(highest, counter.getColumn(0).getInt64());
  }
  return highest;
}

std::vector<Counter> SqliteGate::counters() {
  return guarded([&] {
    std::vector<Counter> found;
    for (const auto& map : mapping_->tables) {
      if (!map.flows() || map.store != store_ || map.group != group_ || map.key_width != 1)
        continue;
      const ColumnMap& key = map.columns.front();
      if (key.old_name.empty() || !is_integer(key.type)) continue;
      const std::int64_t highest = highest_key(map, key);
      if (highest > 0) found.push_back({map.id, key.name, highest});
    }
    return found;
  });
}

void SqliteGate::raise_counter(const Counter& counter) {
  const TableMap& map = mapping_->table(counter.table);
  if (map.store != store_ || map.group != group_ || !map.flows() || map.key_width != 1) return;
  const ColumnMap& key = map.columns.front();
  if (key.name != counter.column || key.old_name.empty()) return;
  // A plain INTEGER PRIMARY KEY has no counter: SQLite goes on from the highest row there is.
  if (!is_autoincrement(database_, map.old_table, key.old_name)) return;
  SQLite::Statement raise(database_, "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?");
  raise.bind(1, counter.value);
  raise.bind(2, map.old_table);
  if (raise.exec() != 0) return;
  SQLite::Statement begin(database_, "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)");
  begin.bind(1, map.old_table);
  begin.bind(2, counter.value);
  begin.exec();
}

void SqliteGate::execute_open(Epoch epoch, const OpenPlan& plan) {
  const auto row = read_row();
  if (!row || row->epoch > epoch) {
    throw Error(ErrorKind::kRefused, Retry::kNever,
                row ? fmt::format("this side is at epoch {} already, not {}", row->epoch, epoch)
                    : "the bridge is not installed here",
                {.object = path_.string(), .next = kForeignHand});
  }
  drop_fence(database_, fence(row->epoch));
  for (const auto& counter : plan.counters) raise_counter(counter);
  write_row(true, epoch);
}

bool SqliteGate::settled_at(GateState::Door door, Epoch epoch) {
  const BusyWait wait(database_.getHandle(), Deadline::in(kGatePatience));
  return held_ == Held::kNothing && state() == GateState{door, epoch};
}

bool SqliteGate::prepare(Epoch epoch, const OpenPlan& plan, Deadline deadline) {
  return guarded([&] {
    require(Held::kNothing, "prepare");
    // EXCLUSIVE: in rollback-journal mode the COMMIT then meets no reader.
    if (!begin("BEGIN EXCLUSIVE", deadline)) return false;
    held_ = Held::kPrepared;
    prepared_epoch_ = epoch;
    try {
      execute_open(epoch, plan);
    } catch (...) {
      unlock();
      throw;
    }
    return true;
  });
}

Position SqliteGate::applied() {
  return guarded([&] { return read_position(database_, store_); });
}

bool SqliteGate::close(Epoch epoch, Deadline deadline) {
  return guarded([&] {
    if (settled_at(GateState::Door::kClosed, epoch)) return true;
    require(Held::kLocked, "close");
    const auto row = read_row();
    if (row && row->epoch > epoch) {
      throw Error(ErrorKind::kRefused, Retry::kNever,
                  fmt::format("this side is at epoch {} already, not {}", row->epoch, epoch),
                  {.object = path_.string(), .next = kForeignHand});
    }
    if (!row || !row->open || fence_epoch_ != epoch) raise_fence(database_, fence(epoch));
    write_row(false, epoch);
    if (deadline.passed()) return false;
    failpoint("sqlite.gate.close.commit.before");
    if (!commit(deadline.sooner(Deadline::in(kGateCommitPatience)))) return false;
    failpoint("sqlite.gate.close.commit.after");
    return true;
  });
}

void SqliteGate::open(Epoch epoch, const OpenPlan& plan) {
  guarded([&] {
    if (settled_at(GateState::Door::kOpen, epoch)) return;
    const bool prepared = held_ == Held::kPrepared && prepared_epoch_ == epoch;
    if (!prepared) {
      unlock();
      if (!prepare(epoch, plan, Deadline::in(kGatePatience))) {
        throw Error(ErrorKind::kBusy, Retry::kLater, "the database is locked by somebody else",
                    {.object = path_.string(), .next = "end the process that keeps it locked"});
      }
    }
    failpoint("sqlite.gate.open.commit.before");
    if (!commit(Deadline::in(kGatePatience))) {
      throw Error(ErrorKind::kBusy, Retry::kLater, "a reader keeps the COMMIT out",
                  {.object = path_.string()});
    }
    failpoint("sqlite.gate.open.commit.after");
  });
}

void SqliteGate::unlock() noexcept {
  // After an I/O error SQLite may have rolled back by itself; then there is nothing left to end.
  if (sqlite3_get_autocommit(database_.getHandle()) == 0) database_.tryExec("ROLLBACK");
  held_ = Held::kNothing;
}

void SqliteGate::require(Held held, const char* call) const {
  if (held_ == held) return;
  throw Error(ErrorKind::kInternal, Retry::kNever,
              std::string(call) + "() of the SQLite gate out of turn", {.object = path_.string()});
}

std::unique_ptr<WriteGate> open_sqlite_gate(const std::filesystem::path& path,
                                            std::shared_ptr<const Mapping> mapping,
                                            const std::string& store, const std::string& group) {
  return std::make_unique<SqliteGate>(open_database(path, SqliteUse::kWrite), path,
                                      std::move(mapping), store, group);
}

}  // namespace switchback
