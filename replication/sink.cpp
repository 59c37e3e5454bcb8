#include "replication/sink.h"

#include <set>
#include <unordered_map>

#include "replication/unique_values.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

constexpr std::size_t kMostHeldBytes = std::size_t{8} << 20;

std::string as_signed(std::uint64_t value) {
  return std::to_string(static_cast<std::int64_t>(value));
}

}  // namespace

PostgresSink::PostgresSink(std::string conninfo, std::shared_ptr<const Mapping> mapping,
                           std::string store)
    : conninfo_(std::move(conninfo)),
      store_(std::move(store)),
      mapping_(std::move(mapping)),
      quarantine_(*mapping_, store_),
      held_(*mapping_) {}

void PostgresSink::send_begin(Pipeline& pipeline) {
  pipeline.send("BEGIN");
  pipeline.send_prepared(kMarkName);
  if (deferrable_) pipeline.send("SET CONSTRAINTS ALL DEFERRED");
  begun_ = true;
  savepoint_ = Savepoint::kNone;
  before_marks_.clear();
}

void PostgresSink::send_savepoint(Pipeline& pipeline) {
  if (savepoint_ == Savepoint::kUsed) pipeline.send("RELEASE SAVEPOINT switchback");
  if (savepoint_ != Savepoint::kClean) pipeline.send("SAVEPOINT switchback");
  savepoint_ = Savepoint::kUsed;
}

std::optional<RowError> PostgresSink::attempt(const Chunk& chunk,
                                              std::span<const std::uint32_t> changes) {
  applier_->prepare(chunk, changes);
  // The first rows of a transaction need no savepoint: all of it can be begun again.
  const bool whole = !begun_;
  Pipeline pipeline(*connection_);
  if (whole) {
    send_begin(pipeline);
  } else {
    send_savepoint(pipeline);
  }
  std::vector<RowApplier::Unfit> unfit;
  applier_->send(pipeline, chunk, changes, unfit);
  if (deferrable_) {
    pipeline.send("SET CONSTRAINTS ALL IMMEDIATE");
    pipeline.send("SET CONSTRAINTS ALL DEFERRED");
  }
  Pipeline::Outcome outcome = pipeline.finish();
  for (auto& [change, reason] : unfit) unfit_.insert_or_assign(change, std::move(reason));
  if (outcome.error) {
    undo(whole);
    return std::move(outcome.error);
  }
  for (const std::uint32_t change : changes) {
    if (!unfit_.contains(change)) quarantine_.note_applied(chunk, chunk.changes()[change]);
  }
  return std::nullopt;
}

void PostgresSink::undo(bool whole) {
  if (whole) {
    connection_->exec("ROLLBACK");
    begun_ = false;
  } else {
    connection_->exec("ROLLBACK TO SAVEPOINT switchback");
    savepoint_ = Savepoint::kClean;
  }
}

// The savepoint of attempt() nests in the mark's.
void PostgresSink::mark() {
  if (!begun_) {
    Pipeline pipeline(*connection_);
    send_begin(pipeline);
    pipeline.finish();
  }
  connection_->exec("SAVEPOINT switchback_mark");
  before_marks_.push_back(std::exchange(savepoint_, Savepoint::kNone));
}

void PostgresSink::back() {
  connection_->exec("ROLLBACK TO SAVEPOINT switchback_mark; RELEASE SAVEPOINT switchback_mark");
  savepoint_ = before_marks_.back();
  before_marks_.pop_back();
}

void PostgresSink::keep() {
  connection_->exec("RELEASE SAVEPOINT switchback_mark");
  const Savepoint before = before_marks_.back();
  before_marks_.pop_back();
  savepoint_ = before == Savepoint::kClean ? Savepoint::kUsed : before;
}

const UniqueColumns& PostgresSink::unique_columns(TableId table) {
  const auto known = unique_columns_.find(table);
  if (known != unique_columns_.end()) return known->second;
  return unique_columns_[table] = switchback::unique_columns(*connection_, mapping_->table(table));
}

// Halves go in order, so the chunk's order holds among all that succeed.
void PostgresSink::apply_parts(const Chunk& chunk, std::span<const std::uint32_t> changes) {
  if (changes.empty()) return;
  std::optional<RowError> error = attempt(chunk, changes);
  if (!error) return;
  if (changes.size() == 1) {
    failed_.emplace_back(changes.front(), std::move(*error));
    return;
  }
  apply_parts(chunk, changes.first(changes.size() / 2));
  apply_parts(chunk, changes.subspan(changes.size() / 2));
}

void PostgresSink::apply(const Chunk& chunk, std::vector<Reject>& rejects) {
  if (!connection_) open_session();
  forget_superseded(chunk, rejects);
  unfit_.clear();
  failed_.clear();
  std::vector<std::uint32_t> changes;
  for (std::uint32_t i = 0; i < chunk.changes().size(); ++i) {
    const Change& change = chunk.changes()[i];
    if (change.op == Op::kMisfit) {
      unfit_.emplace(i, chunk.text(change.reason));
    } else {
      changes.push_back(i);
    }
  }
  apply_parts(chunk, changes);
  sort_out_failures(chunk, rejects);
}

std::string PostgresSink::key_of(const Chunk& chunk, const Change& change) const {
  if (change.op == Op::kTruncate) return "[]";
  return key_text(chunk, chunk.row(change).first(mapping_->table(change.table).key_width));
}

// A chunk that speaks of a key again takes back what an earlier chunk of the batch was refused.
void PostgresSink::forget_superseded(const Chunk& chunk, std::vector<Reject>& rejects) {
  if (rejects.empty()) return;
  std::set<std::pair<TableId, std::string>> refused;
  for (const Reject& reject : rejects) refused.emplace(reject.table, reject.key);
  const auto forget = [&](TableId table, const std::string& key) {
    // A row on its way to this key is another one: what is said of the key is not said of it.
    if (!refused.contains({table, key}) || held_.moving(table, key)) return;
    held_.drop(table, key);
    std::erase_if(rejects,
                  [&](const Reject& reject) { return reject.table == table && reject.key == key; });
  };
  for (const Change& change : chunk.changes()) {
    forget(change.table, key_of(chunk, change));
    if (change.old_key != Change::kNone) {
      const auto width = mapping_->table(change.table).key_width;
      forget(change.table, key_text(chunk, chunk.old_key(change, width)));
    }
  }
}

void PostgresSink::sort_out_failures(const Chunk& chunk, std::vector<Reject>& rejects) {
  if (unfit_.empty() && failed_.empty() && held_.empty()) return;
  // Within the chunk, too, the last change of a key is the one that counts.
  LastChanges last;
  if (!unfit_.empty() || !failed_.empty()) {
    for (std::uint32_t i = 0; i < chunk.changes().size(); ++i) {
      const Change& change = chunk.changes()[i];
      last[{change.table, key_of(chunk, change)}] = i;
    }
  }
  const auto superseded = [&](std::uint32_t i) {
    const Change& change = chunk.changes()[i];
    return change.old_key == Change::kNone && last.at({change.table, key_of(chunk, change)}) != i;
  };
  for (const auto& [i, reason] : unfit_) {
    const Change& change = chunk.changes()[i];
    if (!superseded(i)) rejects.push_back({change.table, key_of(chunk, change), reason, ""});
  }
  std::vector<Reject> reported;
  held_.report(reported);
  for (auto& [i, error] : failed_) {
    const Change& change = chunk.changes()[i];
    if (!superseded(i)) held_.hold(chunk, change, key_of(chunk, change), std::move(error));
  }
  if (!held_.empty()) note_applied(chunk, last);
  std::set<std::pair<TableId, std::string>> before;
  for (const Reject& reject : reported) before.emplace(reject.table, reject.key);
  std::erase_if(rejects, [&](const Reject& reject) {
    return before.contains({reject.table, reject.key});
  });
  const bool full = held_.bytes() > kMostHeldBytes;
  if (chunk.boundary || full) {
    held_.settle(*this, chunk.boundary.has_value());
  }
  held_.report(rejects);
  if (full) held_.clear();
}

// A row whose last change is held is not what an earlier one of the chunk made of it.
void PostgresSink::note_applied(const Chunk& chunk, const LastChanges& last) {
  std::set<std::uint32_t> failed;
  for (const auto& [i, error] : failed_) failed.insert(i);
  for (std::uint32_t i = 0; i < chunk.changes().size(); ++i) {
    if (failed.contains(i) || unfit_.contains(i)) continue;
    const Change& change = chunk.changes()[i];
    std::string key = key_of(chunk, change);
    const auto later = last.find({change.table, key});
    if (later == last.end() || later->second == i) held_.note_applied(chunk, change, key);
  }
  unfit_.clear();  // of this chunk; what is tried from now on is held
}

void PostgresSink::commit(const Position& position, std::span<const Reject> rejects) {
  if (!connection_) open_session();
  Pipeline pipeline(*connection_);
  if (!begun_) send_begin(pipeline);
  quarantine_.send(pipeline, rejects);
  pipeline.send_prepared(kCheckpointName, {mapping_->bridge, store_, as_signed(position.history),
                                           as_signed(position.value), as_signed(position.proof)});
  failpoint("pg.sink.commit.before");
  pipeline.send("COMMIT");
  const Pipeline::Outcome outcome = pipeline.finish();
  failpoint("pg.sink.commit.after");
  if (outcome.error || outcome.last_tag != "COMMIT") {
    // A deferred constraint that was added since the session began. The next session knows of it.
    throw Error(ErrorKind::kBusy, Retry::kLater,
                "the batch could not be committed: " +
                    (outcome.error ? outcome.error->reason : outcome.last_tag),
                {.object = "PostgreSQL",
                 .sqlstate = outcome.error ? outcome.error->sqlstate : "",
                 .next = {}});
  }
  begun_ = false;
  applied_ = position;
  held_.clear();
  quarantine_.committed(*connection_);
}

void PostgresSink::rollback() noexcept {
  begun_ = false;
  held_.clear();
  quarantine_.rolled_back();
  if (!connection_) return;
  try {
    const bool stuck = PQpipelineStatus(connection_->raw()) != PQ_PIPELINE_OFF;
    if (stuck || !connection_->alive()) {
      applier_.reset();
      connection_.reset();
    } else if (connection_->in_transaction()) {
      connection_->exec("ROLLBACK");
    }
  } catch (const std::exception&) {
    // The server ends the transaction with the connection.
    applier_.reset();
    connection_.reset();
  }
}

std::unique_ptr<ChangeSink> open_postgres_sink(std::string conninfo,
                                               std::shared_ptr<const Mapping> mapping,
                                               std::string store) {
  return std::make_unique<PostgresSink>(std::move(conninfo), std::move(mapping), std::move(store));
}

}  // namespace switchback
