#include "watchers/sqlite/prune.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/base/deadline.h"
#include "state/base/failpoint.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/prepared.h"
#include "watchers/sqlite/writer_pause.h"

namespace switchback {
namespace {

using Clock = Deadline::Clock;

// How many entries go between two looks at the clock.
constexpr std::int64_t kEntriesPerStep = 100;

bool is_busy(const SQLite::Exception& error) {
  return error.getErrorCode() == SQLITE_BUSY || error.getErrorCode() == SQLITE_LOCKED;
}

class Prune {
 public:
  Prune(SQLite::Database& database, bool wal, const LogMark& keep)
      : database_(database),
        wal_(wal),
        keep_(keep),
        find_(database,
              fmt::format("SELECT 1 FROM main.{} WHERE seq = ?1 AND nonce = ?2", kLogTable)),
        remove_(database, fmt::format("DELETE FROM main.{} WHERE seq < ?1", kLogTable)),
        first_(database.execAndGet(fmt::format("SELECT min(seq) FROM main.{}", kLogTable))
                   .getInt64()) {}

  std::int64_t entries() const { return keep_.seq - first_; }
  Pruned run(const PruneLimits& limits);

 private:
  bool same_history();
  Pruned remove_until(std::int64_t last, Deadline deadline);

  SQLite::Database& database_;
  const bool wal_;
  const LogMark keep_;
  Prepared find_;
  Prepared remove_;
  const std::int64_t first_;
};

// Busy or not, the transaction must not outlive the attempt.
Pruned Prune::run(const PruneLimits& limits) {
  // With a rollback journal COMMIT needs the database for itself. Who took that at once either
  // fails before anything was written, or makes others wait who have read nothing yet; asked for at
  // the end, it fails after every transaction in between has failed to write.
  SQLite::Transaction transaction(database_, wal_ ? SQLite::TransactionBehavior::IMMEDIATE
                                                  : SQLite::TransactionBehavior::EXCLUSIVE);
  const Deadline deadline =
      wal_ ? Deadline::in(limits.wal_time) : Deadline(Clock::time_point::max());
  if (!same_history()) return {};
  const Pruned done = remove_until(std::min(keep_.seq, first_ + limits.most_entries), deadline);
  failpoint("sqlite.prune.commit.before");
  transaction.commit();
  failpoint("sqlite.prune.commit.after");
  return done;
}

// In another history the seqs mean other entries: leave them for whoever looks into it.
bool Prune::same_history() {
  const ResetAtEnd reset(find_);
  sqlite3_bind_int64(find_.get(), 1, keep_.seq);
  sqlite3_bind_int64(find_.get(), 2, keep_.nonce);
  return find_.step();
}

Pruned Prune::remove_until(std::int64_t last, Deadline deadline) {
  Pruned done;
  std::int64_t to = first_;
  do {
    to = std::min(last, to + kEntriesPerStep);
    const ResetAtEnd reset(remove_);
    sqlite3_bind_int64(remove_.get(), 1, to);
    remove_.step();
    done.gone += sqlite3_changes64(database_.getHandle());
  } while (to < last && !deadline.passed());
  done.left = keep_.seq - to;
  return done;
}

}  // namespace

std::optional<Pruned> prune_log(const std::filesystem::path& path, const LogMark& keep,
                                const PruneLimits& limits) {
  try {
    SQLite::Database database = open_database(path, SqliteUse::kWrite);
    database.setBusyTimeout(0);
    const bool wal = in_wal_mode(database);
    // Losing a prune in a power failure brings entries back and nothing else; in WAL mode no fsync
    // need keep the application's writers waiting.
    if (wal) database.exec("PRAGMA synchronous = NORMAL");
    Prune prune(database, wal, keep);
    if (prune.entries() < limits.least_entries) return Pruned{};
    if (wal && limits.pause_within.count() != 0 &&
        !wait_for_pause(database, Deadline::in(limits.pause_within))) {
      return std::nullopt;
    }
    return prune.run(limits);
  } catch (const SQLite::Exception& error) {
    if (is_busy(error)) return std::nullopt;
    throw_sqlite_error(error, path);
  }
}

}  // namespace switchback
