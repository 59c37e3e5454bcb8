#include "watchers/sqlite/source.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "state/base/advice.h"
#include "state/base/error.h"
#include "state/base/log.h"
#include "state/model/chunk_spool.h"
#include "watchers/sqlite/batch_builder.h"
#include "watchers/sqlite/blind_spots.h"
#include "watchers/sqlite/install.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/prune.h"
#include "watchers/sqlite/watch.h"

namespace switchback {
namespace {

using Clock = Deadline::Clock;

// How soon to ask again for a lock that somebody holds. A writer at full speed in rollback-journal
// mode syncs under its exclusive lock and leaves gaps of some 100 us between two transactions: who
// asks seldom never gets in. Who waits for longer than a few transactions is behind something else.
constexpr std::chrono::microseconds kBusyFirst{100};
constexpr std::chrono::microseconds kBusyMost{2'000};
constexpr int kBusyFastTries = 400;
// How soon to try a prune again when somebody else was writing, or nobody paused.
constexpr std::chrono::milliseconds kBetweenTries{100};

/// When each of the batches that are not acknowledged yet was seen, for lag(). Bounded: with very
/// many under way, the newer ones count as older than they are.
class Unacknowledged {
 public:
  void seen(std::int64_t seq) {
    if (batches_.size() < kMost) {
      batches_.push_back({seq, Clock::now()});
    } else {
      batches_.back().seq = seq;
    }
  }
  void acknowledged(std::int64_t seq) {
    while (!batches_.empty() && batches_.front().seq <= seq) batches_.pop_front();
  }
  void clear() { batches_.clear(); }
  std::chrono::milliseconds age() const {
    if (batches_.empty()) return std::chrono::milliseconds(0);
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() -
                                                                 batches_.front().at);
  }

 private:
  static constexpr std::size_t kMost = 256;
  struct Batch {
    std::int64_t seq;
    Clock::time_point at;
  };
  std::deque<Batch> batches_;
};

/// The CREATE TABLEs as they stand, the bridge's own and SQLite's aside.
std::string text_of_tables(SQLite::Database& database) {
  SQLite::Statement query(database,
                          "SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND "
                          "substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, ?) <> ? "
                          "ORDER BY name");
  query.bind(1, static_cast<int>(kTriggerPrefix.size()));
  query.bind(2, std::string(kTriggerPrefix));
  std::string text;
  while (query.executeStep()) {
    text += query.getColumn(0).getString() + "\n" + query.getColumn(1).getString() + "\n";
  }
  return text;
}

class SqliteSource : public ChangeSource {
 public:
  SqliteSource(std::filesystem::path path, std::shared_ptr<const Mapping> mapping,
               std::string store, std::filesystem::path spool_folder, SqliteSourceLimits limits)
      : path_(std::move(path)),
        mapping_(std::move(mapping)),
        store_(std::move(store)),
        spool_folder_(std::move(spool_folder)),
        limits_(std::move(limits)),
        spool_(spool_folder_),
        watch_(path_) {}

  void start(const Position& applied) override;
  Pull pull(Chunk& out, Deadline deadline, std::stop_token stop) override;
  void acknowledge(const Position& durable) noexcept override;
  void compared(const Position& position) noexcept override { compared_ = position; }
  void idle() override;
  void park() override;
  Lag lag() override;
  SourceCounts counts() override { return counts_; }
  void wake() noexcept override { watch_.wake(); }

 private:
  void open(const Position& applied);
  bool build(Deadline deadline, const std::stop_token& stop, bool& woken);
  BatchBuilder::Round round();
  /// True if wake() ended it.
  bool pause(Deadline until) { return watch_.pause(until) == StoreWatch::Outcome::kWoken; }
  void check_same_file();
  void find_owed();
  std::optional<LogMark> kept_from() const;
  void prune(const LogMark& keep);
  void require_same_tables();

  const std::filesystem::path path_;
  const std::shared_ptr<const Mapping> mapping_;
  const std::string store_;
  const std::filesystem::path spool_folder_;
  const SqliteSourceLimits limits_;

  ChunkSpool spool_;
  StoreWatch watch_;
  std::optional<SQLite::Database> database_;
  std::optional<BatchBuilder> builder_;
  std::optional<BlindSpots> blind_spots_;
  bool wal_ = false;
  std::string tables_;  // as they were when the database was opened

  int busy_tries_ = 0;
  LogMark acknowledged_;
  std::optional<Position> compared_;
  Chunk owed_;  // not handed out yet
  Unacknowledged unacknowledged_;
  SourceCounts counts_;
  Clock::time_point last_change_{};
  Clock::time_point next_prune_{};
  bool pruning_ = false;                            // the last prune left some
  std::optional<Clock::time_point> in_vain_since_;  // the first try; until a prune leaves none
  Clock::time_point next_try_{};
  Clock::time_point next_file_check_{};
};

// The file is opened anew each time: it may have been replaced since.
void SqliteSource::start(const Position& applied) {
  blind_spots_.reset();
  builder_.reset();
  database_.reset();
  spool_.clear();
  unacknowledged_.clear();
  owed_.clear();
  try {
    open(applied);
    find_owed();
  } catch (const SQLite::Exception& error) {
    builder_.reset();
    database_.reset();
    throw_sqlite_error(error, path_);
  }
}

void SqliteSource::open(const Position& applied) {
  constexpr int kStartBusyMs = 2'000;
  database_.emplace(open_database(path_, SqliteUse::kRead));
  database_->setBusyTimeout(kStartBusyMs);
  wal_ = in_wal_mode(*database_);
  if (!database_->tableExists(std::string(kLogTable))) {
    throw Error(ErrorKind::kHistory, Retry::kNever, "capture is not installed in this database",
                {.object = path_.string(), .next = kDoctorFix});
  }
  builder_.emplace(
      *database_, *mapping_, store_, spool_folder_,
      [this] {
        require_capture(*database_, *mapping_, store_);
        require_same_tables();
      },
      limits_.on_round);
  tables_ = text_of_tables(*database_);
  blind_spots_.emplace(*database_, wal_, *mapping_, store_);
  builder_->start(applied);
  acknowledged_ = builder_->mark();
  // From here on the watch and the next look decide how long to wait for a lock.
  database_->setBusyTimeout(0);
  watch_.drain();
  next_file_check_ = Clock::now();
  if (next_prune_ == Clock::time_point{}) next_prune_ = Clock::now();
}

void SqliteSource::find_owed() {
  if (!compared_) return;
  const bool known = *compared_ == Position{} || compared_->history == builder_->history();
  if (known) owed_ = builder_->owed(*compared_);
}

/// The first entry that must stay; nothing: all of them.
std::optional<LogMark> SqliteSource::kept_from() const {
  if (!compared_ || compared_->reaches(to_position(builder_->history(), acknowledged_))) {
    return acknowledged_;
  }
  if (*compared_ == Position{}) return std::nullopt;
  return compared_->history == builder_->history() ? to_mark(*compared_) : acknowledged_;
}

// A database that was renamed away or replaced would be read from the old file for ever.
void SqliteSource::check_same_file() {
  constexpr std::chrono::milliseconds kEvery{1'000};
  if (Clock::now() < next_file_check_) return;
  next_file_check_ = Clock::now() + kEvery;
  int moved = 0;
  sqlite3_file_control(database_->getHandle(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved == 0 && file_says_wal(*database_) == wal_) return;
  throw Error(ErrorKind::kUnreachable, Retry::kLater,
              "the database file was moved, replaced or written over by another",
              {.object = path_.string(), .next = "put the database back, or wait for the new one"});
}

// Whoever starts us looks at the tables first, and knows what an ALTER means.
void SqliteSource::require_same_tables() {
  if (text_of_tables(*database_) == tables_) return;
  throw Error(ErrorKind::kBusy, Retry::kLater,
              "a table was made, altered or dropped; the tables are looked at again",
              {.object = path_.string()});
}

Pull SqliteSource::pull(Chunk& out, Deadline deadline, std::stop_token stop) {
  out.clear();
  if (!builder_) {
    throw Error(ErrorKind::kInternal, Retry::kLater, "pull() before start()",
                {.object = path_.string()});
  }
  if (!owed_.empty()) {
    std::swap(out, owed_);
    return Pull::kOwed;
  }
  const std::stop_callback on_stop(stop, [this] { watch_.wake(); });
  try {
    bool woken = false;
    while (spool_.empty() || builder_->under_way()) {
      if (build(deadline, stop, woken)) break;
      if (woken || stop.stop_requested() || deadline.passed()) return Pull::kIdle;
    }
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path_);
  }
  spool_.pop(out);
  return Pull::kChunk;
}

// One look at the log and, if nothing is to be had, one wait. True once a whole batch is spooled.
bool SqliteSource::build(Deadline deadline, const std::stop_token& stop, bool& woken) {
  watch_.drain();
  check_same_file();
  switch (round()) {
    case BatchBuilder::Round::kComplete:
      busy_tries_ = 0;
      watch_.looked(true);
      last_change_ = Clock::now();
      unacknowledged_.seen(builder_->mark().seq);
      return true;
    case BatchBuilder::Round::kMore:
      busy_tries_ = 0;
      if (!wal_) woken = pause(Deadline::in(limits_.rollback_gap));
      return false;
    case BatchBuilder::Round::kBusy:
      // Events are no guide here: most come while the writer holds the lock, the last one just
      // before it lets go.
      ++busy_tries_;
      woken = pause(
          deadline.sooner(Deadline::in(busy_tries_ < kBusyFastTries ? kBusyFirst : kBusyMost)));
      return false;
    case BatchBuilder::Round::kNothing:
      break;
  }
  busy_tries_ = 0;
  watch_.looked(false);
  if (!stop.stop_requested()) woken = watch_.wait(deadline) == StoreWatch::Outcome::kWoken;
  return false;
}

BatchBuilder::Round SqliteSource::round() {
  using Round = BatchBuilder::Round;
  const RoundLimits limits{wal_ ? limits_.wal_round : limits_.rollback_round, limits_.round_bytes};
  blind_spots_->expect();
  const Round round = builder_->round(spool_, acknowledged_, limits);
  if (round == Round::kBusy) return round;
  try {
    const bool logged = round != Round::kNothing;
    if (blind_spots_->look(builder_->data_version(), logged)) {
      ++counts_.unexplained;
      log_warning(
          fmt::format("{}: a commit changed the database and logged nothing, though every table is "
                      "captured: what it changed is not at the other side",
                      path_.string()));
    }
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() != SQLITE_BUSY) throw;  // the next look asks again
  }
  return round;
}

void SqliteSource::acknowledge(const Position& durable) noexcept {
  if (!builder_ || durable.history != builder_->history()) return;
  const LogMark mark = to_mark(durable);
  if (mark.seq <= acknowledged_.seq) return;
  acknowledged_ = mark;
  unacknowledged_.acknowledged(mark.seq);
}

void SqliteSource::idle() {
  const auto now = Clock::now();
  if (!builder_ || now < next_prune_ || now < next_try_) return;
  const bool overdue = pruning_ || now >= next_prune_ + limits_.prune_every;
  if (!overdue && now < last_change_ + limits_.prune_quiet) return;
  const auto keep = kept_from();
  // What has yet to be compared stays; soon it will have been, and one prune takes it all.
  if (!keep || (!overdue && keep->seq < acknowledged_.seq)) return;
  prune(*keep);
}

void SqliteSource::prune(const LogMark& keep) {
  const auto now = Clock::now();
  PruneLimits limits = limits_.prune;
  if (pruning_) limits.least_entries = 1;
  if (in_vain_since_ && now >= *in_vain_since_ + limits_.prune_anyway) limits.pause_within = {};
  const auto pruned = prune_log(path_, keep, limits);
  if (!pruned) {
    next_try_ = Clock::now() + kBetweenTries;
    if (!in_vain_since_) in_vain_since_ = now;
    return;
  }
  if (pruned->gone > 0) ++counts_.prunes;
  pruning_ = pruned->gone > 0 && pruned->left > 0;
  if (!pruning_) in_vain_since_.reset();
  next_prune_ = now + (pruning_ ? limits_.prune_again : limits_.prune_every);
}

// Rounds end their read transaction themselves, so nothing is open between two calls. A batch that
// is half read waits in the spool. The last commits may be some that capture saw nothing of:
// without an entry in the log nobody else would look for them.
void SqliteSource::park() {
  if (!builder_ || builder_->under_way()) return;
  try {
    if (round() == BatchBuilder::Round::kBusy) {
      throw Error(ErrorKind::kBusy, Retry::kLater,
                  "the database is locked, so that its last commits cannot be looked at",
                  {.object = path_.string()});
    }
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path_);
  }
}

Lag SqliteSource::lag() {
  Lag lag;
  if (!builder_) return lag;
  lag.changes = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, builder_->mark().seq - acknowledged_.seq));
  lag.age = unacknowledged_.age();
  return lag;
}

}  // namespace

std::unique_ptr<ChangeSource> open_sqlite_source(std::filesystem::path path,
                                                 std::shared_ptr<const Mapping> mapping,
                                                 std::string store,
                                                 std::filesystem::path spool_folder,
                                                 SqliteSourceLimits limits) {
  return std::make_unique<SqliteSource>(std::move(path), std::move(mapping), std::move(store),
                                        std::move(spool_folder), std::move(limits));
}

}  // namespace switchback
