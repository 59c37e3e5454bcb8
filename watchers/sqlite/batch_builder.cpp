#include "watchers/sqlite/batch_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>

#include "state/base/advice.h"
#include "state/base/error.h"
#include "state/base/mutation.h"

namespace switchback {

using Lane = DirtyKeys::Lane;

namespace {

// Few enough that what is put back at the end of a round costs nothing.
constexpr std::size_t kKeysAtOnce = 64;
// More keys than this are not told one by one at a start.
constexpr std::size_t kMostOwed = 100'000;
// With a rollback journal, writers wait while the log is read.
constexpr std::chrono::milliseconds kOwedRound{15};

std::vector<TableId> tables_of(const Mapping& mapping, const std::string& store) {
  std::vector<TableId> ids = mapping.parents_first();
  std::erase_if(ids, [&](TableId id) { return mapping.table(id).store != store; });
  return ids;
}

/// Whether two keys that SQLite tells apart are two keys to PostgreSQL as well.
bool plain_key(const TableMap& map) {
  return std::all_of(map.columns.begin(), map.columns.begin() + map.key_width,
                     [](const ColumnMap& column) {
                       return column.type == PgType::kInt2 || column.type == PgType::kInt4 ||
                              column.type == PgType::kInt8 || column.type == PgType::kText ||
                              column.type == PgType::kVarchar || column.type == PgType::kBytea;
                     });
}

}  // namespace

// One read transaction. Its end gives up a read only, so it cannot fail in a way that matters.
class BatchBuilder::Snapshot {
 public:
  explicit Snapshot(BatchBuilder& builder)
      : builder_(builder), began_(std::chrono::steady_clock::now()) {
    builder.begin_.step();
    builder.begin_.reset();
  }
  ~Snapshot() {
    sqlite3_step(builder_.commit_.get());
    builder_.commit_.reset();
    if (builder_.on_round_) builder_.on_round_(std::chrono::steady_clock::now() - began_);
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  BatchBuilder& builder_;
  std::chrono::steady_clock::time_point began_;
};

BatchBuilder::BatchBuilder(SQLite::Database& database, const Mapping& mapping,
                           const std::string& store, const std::filesystem::path& folder,
                           CheckSchema check_schema, OnRound on_round)
    : mapping_(mapping),
      parents_first_(tables_of(mapping, store)),
      check_schema_(std::move(check_schema)),
      on_round_(std::move(on_round)),
      log_(database, mapping, store),
      keys_(folder, mapping.tables.size()),
      begin_(database, "BEGIN"),
      commit_(database, "COMMIT"),
      schema_version_(database, "PRAGMA main.schema_version"),
      data_version_of_(database, "PRAGMA main.data_version") {
  rows_.resize(mapping.tables.size());
  for (const TableId id : parents_first_) {
    rows_[index(id)] = std::make_unique<DirtyRows>(database, mapping, mapping.table(id));
  }
  leaves_orphans_.resize(mapping.tables.size());
}

void BatchBuilder::start(const Position& applied) {
  keys_.clear();
  chunk_.clear();
  end_batch();
  const Snapshot snapshot(*this);
  history_ = log_.history();
  if (applied == Position{}) {
    mark_ = log_.install_entry();
    // A side that holds nothing yet is owed a first boundary, even if nothing was ever written.
    under_way_ = true;
    return;
  }
  if (applied.history != history_) {
    throw Error(ErrorKind::kHistory, Retry::kNever,
                "the database's log is of another history than the position of the other side",
                {.object = to_string(applied),
                 .next = std::string("capture was installed anew or another database took this "
                                     "one's place: ") +
                         kDoctorFix});
  }
  log_.require(to_mark(applied));
  mark_ = to_mark(applied);
}

Chunk BatchBuilder::owed(const Position& compared) {
  Chunk out;
  std::unordered_set<std::string> seen;
  std::set<TableId> tables;
  LogMark at = to_mark(compared);
  if (const auto first = log_.first(); first && at.seq < first->seq) at = *first;
  const auto visit = [&](TableId table, std::span<const StoredValue> key) {
    if (at.seq >= mark_.seq) return;  // `at` is the entry before
    tables.insert(table);
    encode_key(key, encoded_);
    encoded_ += fmt::format("/{}", index(table));
    if (seen.size() > kMostOwed || !seen.insert(encoded_).second) return;
    rows_[index(table)]->append_delete(key, out);
  };
  while (at.seq < mark_.seq) {
    const Snapshot snapshot(*this);
    const auto end = std::chrono::steady_clock::now() + kOwedRound;
    log_.read_after(at, visit,
                    [&] { return at.seq >= mark_.seq || std::chrono::steady_clock::now() >= end; });
  }
  if (seen.size() <= kMostOwed) return out;
  out.clear();
  for (const TableId table : tables) out.end_truncate(table);
  return out;
}

BatchBuilder::Round BatchBuilder::round(ChunkSpool& spool, const LogMark& acknowledged,
                                        const RoundLimits& limits) {
  const Snapshot snapshot(*this);
  try {
    check_schema();  // the first read: takes the lock
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() == SQLITE_BUSY) return Round::kBusy;
    throw;
  }
  round_end_ = std::chrono::steady_clock::now() + limits.time;
  bytes_left_ = limits.bytes;
  return read_round(spool, acknowledged);
}

void BatchBuilder::check_schema() {
  const auto number = [](Prepared& pragma) {
    const ResetAtEnd reset(pragma);
    pragma.step();
    return sqlite3_column_int64(pragma.get(), 0);
  };
  const std::int64_t version = number(schema_version_);
  data_version_ = number(data_version_of_);
  if (version == seen_schema_version_) return;
  check_schema_();
  seen_schema_version_ = version;
}

BatchBuilder::Round BatchBuilder::read_round(ChunkSpool& spool, const LogMark& acknowledged) {
  const LogMark before = mark_;
  const bool caught_up = log_.read_after(
      mark_, [this](TableId table, std::span<const StoredValue> key) { note_key(table, key); },
      [this] { return out_of_time(); });
  if (mark_ == before && !under_way_) return Round::kNothing;
  log_.require(acknowledged);
  under_way_ = true;
  // Nothing is written before this snapshot's whole log is known: what a key means here is final
  // unless it is logged again, and then it comes again.
  if (!caught_up || classify() == Advance::kOutOfTime ||
      write_deletes(spool, false) == Advance::kOutOfTime ||
      write_upserts(spool, Lane::kPresent) == Advance::kOutOfTime ||
      write_deletes(spool, true) == Advance::kOutOfTime ||
      write_upserts(spool, Lane::kPutBack) == Advance::kOutOfTime) {
    return Round::kMore;
  }
  chunk_.boundary = to_position(history_, mark_);
  spool.push(chunk_);
  end_batch();
  return Round::kComplete;
}

void BatchBuilder::end_batch() {
  under_way_ = false;
  std::fill(leaves_orphans_.begin(), leaves_orphans_.end(), false);
}

void BatchBuilder::note_key(TableId table, std::span<const StoredValue> key) {
  encode_key(key, encoded_);
  keys_.add(Lane::kUnread, table, encoded_);
}

// Calls `each` for the keys of a lane; what the time is too short for goes back.
template <class Each>
BatchBuilder::Advance BatchBuilder::each_key(Lane lane, TableId table, Each each) {
  while (keys_.count(lane, table) != 0) {
    keys_.take(lane, table, kKeysAtOnce, taken_);
    for (std::size_t i = 0; i < taken_.size(); ++i) {
      each(taken_[i]);
      if (!out_of_time()) continue;
      for (++i; i < taken_.size(); ++i) keys_.add(lane, table, taken_[i]);
      return Advance::kOutOfTime;
    }
  }
  return Advance::kDone;
}

BatchBuilder::Advance BatchBuilder::classify() {
  // Children that join may belong to a table that was done already.
  while (!keys_.empty(Lane::kUnread)) {
    for (const TableId table : parents_first_) {
      const auto each = [&](std::string_view key) { classify_one(table, key); };
      if (each_key(Lane::kUnread, table, each) == Advance::kOutOfTime) return Advance::kOutOfTime;
    }
  }
  return Advance::kDone;
}

void BatchBuilder::classify_one(TableId table, std::string_view encoded) {
  decode_key(encoded, decoded_);
  DirtyRows& rows = *rows_[index(table)];
  if (rows.present(decoded_)) {
    keys_.remove(Lane::kGone, table, encoded);
    if (!keys_.contains(Lane::kPutBack, table, encoded)) {
      keys_.add(Lane::kPresent, table, encoded);
    }
    return;
  }
  keys_.remove(Lane::kPresent, table, encoded);
  keys_.remove(Lane::kCascaded, table, encoded);
  keys_.remove(Lane::kPutBack, table, encoded);
  keys_.add(Lane::kGone, table, encoded);
  if (rows.has_actions() && !mutated("cascade-left-to-server")) join_children(table, decoded_);
}

// Rows that refer to one that is gone. PostgreSQL would delete or change them by itself with their
// parent, and what hangs on them. Nothing is left to it: who would be deleted leaves first, with
// who refers to it in turn, and all are put back after the parent went, as far as they fit.
void BatchBuilder::join_children(TableId table, std::span<const StoredValue> key) {
  std::vector<std::pair<TableId, std::string>> parents(1);
  parents[0].first = table;
  encode_key(key, parents[0].second);
  std::vector<StoredValue> parent_key;
  while (!parents.empty()) {
    const auto encoded = std::move(parents.back());
    const TableId parent = encoded.first;
    parents.pop_back();
    decode_key(encoded.second, parent_key);
    rows_[index(parent)]->visit_children(
        parent_key, [&](TableId child, std::span<const StoredValue> child_key, bool cascades) {
          encode_key(child_key, encoded_);
          leaves_orphans_[index(parent)] = true;
          keys_.remove(Lane::kPresent, child, encoded_);
          const bool is_new = keys_.add(Lane::kPutBack, child, encoded_);
          if (cascades && is_new) {
            keys_.add(Lane::kCascaded, child, encoded_);
            parents.emplace_back(child, encoded_);
          }
        });
  }
}

// A parent whose delete would be refused, because children that this batch moves elsewhere still
// refer to it in PostgreSQL, is deleted last; unless its table also gets rows, which may need the
// unique values that the deleted one holds. Where children stay behind as orphans they leave last,
// too, so that nobody moves away from them any more; unless a row that its table gets may be the
// deleted one to PostgreSQL.
bool BatchBuilder::must_wait(TableId table) const {
  const auto present = [&](TableId child) { return keys_.count(Lane::kPresent, child) != 0; };
  if (leaves_orphans_[index(table)]) return !present(table) || plain_key(mapping_.table(table));
  const std::vector<TableId>& refusing = rows_[index(table)]->refusing();
  return !present(table) && std::any_of(refusing.begin(), refusing.end(), present);
}

/// Whether all that leave orphans are deleted last; then these leave last as well.
bool BatchBuilder::orphans_wait() const {
  return std::all_of(parents_first_.begin(), parents_first_.end(), [&](TableId table) {
    return !leaves_orphans_[index(table)] || must_wait(table);
  });
}

BatchBuilder::Advance BatchBuilder::write_deletes(ChunkSpool& spool, bool last) {
  for (auto table = parents_first_.rbegin(); table != parents_first_.rend(); ++table) {
    const auto each = [&](std::string_view key) {
      decode_key(key, decoded_);
      rows_[index(*table)]->append_delete(decoded_, chunk_);
      push_if_full(spool);
    };
    if ((last || !orphans_wait()) &&
        each_key(Lane::kCascaded, *table, each) == Advance::kOutOfTime) {
      return Advance::kOutOfTime;
    }
    if (!last && must_wait(*table)) continue;
    if (each_key(Lane::kGone, *table, each) == Advance::kOutOfTime) return Advance::kOutOfTime;
  }
  return Advance::kDone;
}

BatchBuilder::Advance BatchBuilder::write_upserts(ChunkSpool& spool, Lane lane) {
  for (const TableId table : parents_first_) {
    const auto each = [&](std::string_view key) {
      decode_key(key, decoded_);
      rows_[index(table)]->append_upsert(decoded_, chunk_);
      push_if_full(spool);
    };
    if (each_key(lane, table, each) == Advance::kOutOfTime) return Advance::kOutOfTime;
  }
  return Advance::kDone;
}

void BatchBuilder::push_if_full(ChunkSpool& spool) {
  if (!chunk_.full()) return;
  bytes_left_ -= std::min(bytes_left_, chunk_.bytes());
  spool.push(chunk_);
}

bool BatchBuilder::out_of_time() const {
  return bytes_left_ == 0 || std::chrono::steady_clock::now() >= round_end_;
}

}  // namespace switchback
