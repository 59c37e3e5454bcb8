#include "watchers/sqlite/sink.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <utility>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "watchers/sqlite/busy_wait.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLockPatience{5'000};
// In rollback-journal mode a waiting COMMIT keeps new readers out.
constexpr milliseconds kCommitPatience{200};

void run_or_throw(SQLite::Database& database, const char* sql) {
  const int code = database.tryExec(sql);
  if (code != SQLITE_OK) throw SQLite::Exception(database.getHandle(), code);
}

}  // namespace

SqliteSink::SqliteSink(SQLite::Database database, std::filesystem::path path,
                       std::shared_ptr<const Mapping> mapping, std::string store,
                       std::filesystem::path spool_folder)
    : database_(std::move(database)),
      path_(std::move(path)),
      mapping_(std::move(mapping)),
      store_(std::move(store)),
      spool_folder_(std::move(spool_folder)),
      spool_(spool_folder_) {}

SqliteSink::~SqliteSink() {
  rollback();
}

// Every call of the port runs in here, so that callers see one kind of error only.
template <class Call>
auto SqliteSink::guarded(Call&& call) {
  try {
    return call();
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path_);
  }
}

/// Another bridge, or another store of this one, must not write here.
void SqliteSink::require_ours() {
  SQLite::Statement meta(database_,
                         fmt::format("SELECT (SELECT value FROM {0} WHERE name = 'bridge'), "
                                     "(SELECT value FROM {0} WHERE name = 'store')",
                                     kMetaTable));
  meta.executeStep();
  const std::string bridge = meta.getColumn(0).getString();
  const std::string store = meta.getColumn(1).getString();
  if (bridge == mapping_->bridge && store == store_) return;
  throw Error(
      ErrorKind::kRefused, Retry::kNever,
      fmt::format("belongs to bridge \"{}\", store \"{}\"", bridge, store),
      {.object = path_.string(), .next = "check [bridge] name and [store] in the configuration"});
}

void SqliteSink::prepare_statements() {
  if (position_) return;
  sqlite3_wal_hook(database_.getHandle(), &SqliteSink::note_wal_pages, this);
  quarantine_.emplace(database_);
  writer_.emplace(database_, *mapping_, *quarantine_, spool_folder_);
  position_.emplace(database_,
                    fmt::format("INSERT INTO {} (store, history, value, proof) VALUES (?, ?, ?, ?) "
                                "ON CONFLICT (store) DO UPDATE SET history = excluded.history, "
                                "value = excluded.value, proof = excluded.proof",
                                kPositionTable));
}

int SqliteSink::note_wal_pages(void* self, sqlite3*, const char*, int pages) {
  static_cast<SqliteSink*>(self)->wal_pages_ = pages;
  return SQLITE_OK;
}

Position SqliteSink::applied() {
  return guarded([&] {
    const BusyWait wait(database_.getHandle(), Deadline::in(kLockPatience));
    wal_ = in_wal_mode(database_);
    database_.exec(wal_ ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = EXTRA");
    database_.exec("PRAGMA cache_size = -16384");
    require_ours();
    prepare_statements();
    quarantine_->recount();
    const Position held = read_position(database_, store_);
    checkpointer_.reset();
    if (wal_) checkpointer_ = Checkpointer::start(path_, held);
    durable_ = held;
    return held;
  });
}

void SqliteSink::begin() {
  if (sqlite3_get_autocommit(database_.getHandle()) == 0) return;
  const BusyWait wait(database_.getHandle(), Deadline::in(kLockPatience));
  run_or_throw(database_, "BEGIN IMMEDIATE");
}

void SqliteSink::apply(const Chunk& chunk, std::vector<Reject>& rejects) {
  guarded([&] {
    if (!wal_ && !chunk.boundary) {
      std::string image;
      chunk.serialize(image);
      Chunk copy = Chunk::parse(image);
      return spool_.push(copy);
    }
    begin();
    while (spool_.pop(spooled_)) writer_->apply(spooled_, rejects);
    writer_->apply(chunk, rejects);
  });
}

void SqliteSink::write_position(const Position& position) {
  position_->reset();
  position_->bind(1, store_);
  position_->bind(2, static_cast<std::int64_t>(position.history));
  position_->bind(3, static_cast<std::int64_t>(position.value));
  position_->bind(4, static_cast<std::int64_t>(position.proof));
  position_->exec();
  position_->reset();
}

void SqliteSink::commit(const Position& position, std::span<const Reject> rejects) {
  guarded([&] {
    begin();
    for (const auto& one : rejects) {
      quarantine_->add(mapping_->table(one.table).old_table, one);
    }
    if (!rejects.empty()) quarantine_->recount();
    write_position(position);
    failpoint("sqlite.sink.commit.before");
    {
      const BusyWait wait(database_.getHandle(), Deadline::in(kCommitPatience));
      run_or_throw(database_, "COMMIT");
    }
    failpoint("sqlite.sink.commit.after");
    writer_->forget_batch();
    if (!checkpointer_) {
      durable_ = position;
    } else if (checkpointer_->committed(position, wal_pages_)) {
      help_checkpoint();
    }
  });
}

/// Only when no write is under way can the rest of the -wal be copied, and only a -wal that was
/// copied to its end begins anew.
void SqliteSink::help_checkpoint() {
  failpoint("sqlite.sink.checkpoint.before");
  const int code = sqlite3_wal_checkpoint_v2(database_.getHandle(), "main",
                                             SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK && code != SQLITE_BUSY) {
    throw SQLite::Exception(database_.getHandle(), code);
  }
  failpoint("sqlite.sink.checkpoint.after");
}

void SqliteSink::rollback() noexcept {
  spool_.clear();
  // After an I/O error SQLite may have rolled back by itself.
  if (sqlite3_get_autocommit(database_.getHandle()) == 0) database_.tryExec("ROLLBACK");
  if (!writer_) return;
  writer_->forget_batch();
  try {
    quarantine_->recount();
  } catch (const SQLite::Exception&) {
    // The database cannot be read: applied(), which comes before any further use, says so.
  }
}

Position SqliteSink::durable() {
  return checkpointer_ ? checkpointer_->durable() : durable_;
}

std::uint64_t SqliteSink::quarantined() {
  return quarantine_ ? quarantine_->open() : 0;
}

std::unique_ptr<ChangeSink> open_sqlite_sink(const std::filesystem::path& path,
                                             std::shared_ptr<const Mapping> mapping,
                                             const std::string& store,
                                             const std::filesystem::path& spool_folder) {
  return std::make_unique<SqliteSink>(open_database(path, SqliteUse::kWrite), path,
                                      std::move(mapping), store, spool_folder);
}

}  // namespace switchback
