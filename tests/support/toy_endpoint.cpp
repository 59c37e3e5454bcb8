#include "tests/support/toy_endpoint.h"

#include <algorithm>
#include <set>
#include <utility>

#include "state/base/error.h"
#include "state/base/wake.h"

namespace switchback {

ToyRow toy_parent(std::int64_t id, std::string name, std::string doc) {
  ToyRow row{{.kind = Kind::kInt, .number = id},
             {.kind = Kind::kText, .text = std::move(name)},
             {},
             {},
             {}};
  if (!doc.empty()) row[3] = {.kind = Kind::kJson, .text = std::move(doc)};
  return row;
}

ToyRow toy_row(const Chunk& chunk, std::span<const Cell> cells) {
  ToyRow row;
  for (const Cell& cell : cells) {
    ToyValue value;
    value.kind = cell.kind;
    if (has_text(cell.kind)) {
      value.text = chunk.text(cell);
    } else if (cell.kind == Kind::kReal) {
      value.real = cell.d;
    } else if (cell.kind != Kind::kNull && cell.kind != Kind::kUnchanged) {
      value.number = cell.i;
    }
    row.push_back(std::move(value));
  }
  return row;
}

void add_row(const ToyRow& row, Chunk& chunk) {
  for (const ToyValue& value : row) {
    if (has_text(value.kind)) {
      chunk.add(chunk.add_text(value.kind, value.text));
      continue;
    }
    Cell cell = value.kind == Kind::kReal ? Cell::real(value.real) : Cell::integer(value.number);
    cell.kind = value.kind;
    chunk.add(cell);
  }
}

namespace {

ToyKey key_of(TableId table, const ToyRow& row, std::uint16_t width) {
  Chunk scratch;
  add_row(ToyRow(row.begin(), row.begin() + width), scratch);
  scratch.end_delete(table);
  return {table, key_text(scratch, scratch.row(scratch.changes()[0]))};
}

}  // namespace

ToyStore::ToyStore(std::shared_ptr<const Mapping> mapping, bool open)
    : mapping_(std::move(mapping)),
      gate_{open ? GateState::Door::kOpen : GateState::Door::kClosed, 1} {}

bool ToyStore::change(TableId table, const ToyRow& key_row, std::optional<ToyRow> row) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !locked_; });
  if (gate_.door != GateState::Door::kOpen) return false;
  const std::uint16_t width = mapping_->table(table).key_width;
  const ToyKey key = key_of(table, key_row, width);
  if (row) {
    rows_[key] = std::move(*row);
  } else {
    rows_.erase(key);
  }
  log_.push_back({++last_seq_, key, ToyRow(key_row.begin(), key_row.begin() + width)});
  changed_.notify_all();
  return true;
}

bool ToyStore::write(TableId table, const ToyRow& row) {
  return change(table, row, row);
}

bool ToyStore::erase(TableId table, const ToyRow& key) {
  return change(table, key, std::nullopt);
}

void ToyStore::tamper(TableId table, const ToyRow& key, const ToyRow& row) {
  const std::lock_guard lock(mutex_);
  const ToyKey at = key_of(table, key, mapping_->table(table).key_width);
  rows_.erase(at);
  if (!row.empty()) rows_.emplace(at, row);
}

std::map<ToyKey, ToyRow> ToyStore::rows() const {
  const std::lock_guard lock(mutex_);
  return rows_;
}

void ToyStore::fail_commit(int nth, bool after) {
  const std::lock_guard lock(mutex_);
  fail_in_ = nth;
  fail_after_ = after;
}

void ToyStore::housekeep_once(std::function<void()> chore) {
  const std::lock_guard lock(mutex_);
  chore_ = std::move(chore);
}

void ToyStore::set_back(const Position& position) {
  const std::lock_guard lock(mutex_);
  applied_ = position;
}

void ToyStore::fork() {
  const std::lock_guard lock(mutex_);
  ++history_;
}

class ToySource : public ChangeSource {
 public:
  explicit ToySource(std::shared_ptr<ToyStore> store) : store_(std::move(store)) {}

  void start(const Position& applied) override {
    const std::lock_guard lock(store_->mutex_);
    if (applied.history != 0 && applied.history != store_->history_) {
      throw Error(ErrorKind::kHistory, Retry::kNever, "the toy's history has forked");
    }
    // Position zero: nothing was ever applied, so that even an empty store has a boundary to give.
    at_ = applied.history == 0 ? 0 : applied.value;
    acknowledged_ = at_;
    owed_.clear();
    for (const auto& entry : store_->log_) {
      if (!compared_ || entry.seq <= compared_->value || entry.seq > at_) continue;
      add_row(entry.key_row, owed_);
      owed_.end_delete(entry.key.first);
    }
  }

  Pull pull(Chunk& out, Deadline deadline, std::stop_token stop) override {
    out.clear();
    if (!owed_.empty()) {
      std::swap(out, owed_);
      return Pull::kOwed;
    }
    std::unique_lock lock(store_->mutex_);
    const auto something = [&] { return store_->last_seq_ > at_ || woken_; };
    store_->changed_.wait_until(lock, stop, deadline.at(), something);
    woken_ = false;
    if (store_->last_seq_ <= at_) return Pull::kIdle;
    std::set<ToyKey> seen;
    for (const auto& entry : store_->log_) {
      if (entry.seq <= at_ || !seen.insert(entry.key).second) continue;
      const auto row = store_->rows_.find(entry.key);
      add_row(row == store_->rows_.end() ? entry.key_row : row->second, out);
      if (row == store_->rows_.end()) {
        out.end_delete(entry.key.first);
      } else {
        out.end_upsert(entry.key.first);
      }
    }
    at_ = store_->last_seq_;
    out.boundary = Position{store_->history_, at_, 0};
    return Pull::kChunk;
  }

  void acknowledge(const Position& durable) noexcept override { acknowledged_ = durable.value; }
  void compared(const Position& position) noexcept override { compared_ = position; }
  void idle() override {
    std::unique_lock lock(store_->mutex_);
    if (const auto chore = std::exchange(store_->chore_, {})) {
      lock.unlock();
      chore();
      lock.lock();
    }
    auto& log = store_->log_;
    const std::uint64_t keep =
        compared_ ? std::min(acknowledged_, compared_->value) : acknowledged_;
    while (!log.empty() && log.front().seq < keep) log.pop_front();
  }
  void park() noexcept override {}
  Lag lag() override {
    const std::lock_guard lock(store_->mutex_);
    return {.changes = store_->last_seq_ - acknowledged_};
  }
  void wake() noexcept override {
    const std::lock_guard lock(store_->mutex_);
    woken_ = true;
    store_->changed_.notify_all();
  }

 private:
  const std::shared_ptr<ToyStore> store_;
  std::uint64_t at_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::optional<Position> compared_;
  Chunk owed_;
  bool woken_ = false;
};

class ToySink : public ChangeSink {
 public:
  explicit ToySink(std::shared_ptr<ToyStore> store) : store_(std::move(store)) {}

  Position applied() override {
    const std::lock_guard lock(store_->mutex_);
    return store_->applied_.value_or(Position{});
  }

  void apply(const Chunk& chunk, std::vector<Reject>& rejects) override {
    for (const Change& change : chunk.changes()) {
      const TableMap& map = store_->mapping_->table(change.table);
      if (change.op == Op::kTruncate) {
        for (const auto& [each, value] : store_->rows()) {
          if (each.first == change.table) pending_.push_back({each, std::nullopt});
        }
        continue;
      }
      ToyRow row = toy_row(chunk, chunk.row(change));
      const ToyKey key = key_of(change.table, row, map.key_width);
      if (change.op == Op::kMisfit) {
        rejects.push_back({change.table, key.second, std::string(chunk.text(change.reason)), ""});
        continue;
      }
      if (change.op == Op::kUpsert && misfits(map, row)) {
        rejects.push_back({change.table, key.second, "NULL in a NOT NULL column", ""});
        continue;
      }
      if (change.old_key != Change::kNone) {
        const auto old = toy_row(chunk, chunk.old_key(change, map.key_width));
        pending_.push_back({key_of(change.table, old, map.key_width), std::nullopt});
      }
      pending_.push_back(
          {key, change.op == Op::kUpsert ? std::optional(std::move(row)) : std::nullopt});
    }
  }

  void commit(const Position& position, std::span<const Reject> rejects) override {
    const std::lock_guard lock(store_->mutex_);
    const bool fails = store_->fail_in_ > 0 && --store_->fail_in_ == 0;
    if (fails && !store_->fail_after_) fail();
    for (auto& [key, row] : pending_) {
      store_->quarantine_.erase(key);
      if (row) {
        store_->rows_[key] = std::move(*row);
      } else {
        store_->rows_.erase(key);
      }
    }
    for (const Reject& reject : rejects) {
      store_->quarantine_[{reject.table, reject.key}] = reject.reason;
    }
    store_->applied_ = position;
    pending_.clear();
    if (fails) fail();
  }

  void rollback() noexcept override { pending_.clear(); }
  Position durable() override { return applied(); }
  std::uint64_t quarantined() override {
    const std::lock_guard lock(store_->mutex_);
    return store_->quarantine_.size();
  }

 private:
  [[noreturn]] static void fail() {
    throw Error(ErrorKind::kUnreachable, Retry::kLater, "the toy was told to fail here");
  }
  static bool misfits(const TableMap& map, const ToyRow& row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (map.columns[i].not_null && row[i].kind == Kind::kNull) return true;
    }
    return false;
  }

  const std::shared_ptr<ToyStore> store_;
  std::vector<std::pair<ToyKey, std::optional<ToyRow>>> pending_;
};

class ToyReader : public RowReader {
 public:
  explicit ToyReader(std::shared_ptr<ToyStore> store) : store_(std::move(store)) {}

  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override {
    const std::lock_guard lock(store_->mutex_);
    auto row = store_->rows_.upper_bound({table, cursor.after});
    for (; row != store_->rows_.end() && row->first.first == table && !out.full(); ++row) {
      add_row(row->second, out);
      out.end_upsert(table);
      cursor.after = row->first.second;
    }
    cursor.done = row == store_->rows_.end() || row->first.first != table;
    return now();
  }

  Window fetch(TableId table, const Chunk& keys, Chunk& out) override {
    const std::lock_guard lock(store_->mutex_);
    const std::uint16_t width = store_->mapping_->table(table).key_width;
    for (const Change& change : keys.changes()) {
      const ToyRow key = toy_row(keys, keys.row(change).first(width));
      const auto row = store_->rows_.find(key_of(table, key, width));
      add_row(row == store_->rows_.end() ? key : row->second, out);
      if (row == store_->rows_.end()) {
        out.end_delete(table);
      } else {
        out.end_upsert(table);
      }
    }
    return now();
  }

  std::uint64_t estimate(TableId table) override {
    const std::lock_guard lock(store_->mutex_);
    return static_cast<std::uint64_t>(
        std::count_if(store_->rows_.begin(), store_->rows_.end(),
                      [&](const auto& row) { return row.first.first == table; }));
  }

 private:
  Window now() const {
    const Position position{store_->history_, store_->last_seq_, 0};
    return {position, position};
  }
  const std::shared_ptr<ToyStore> store_;
};

class ToyGate : public WriteGate {
 public:
  explicit ToyGate(std::shared_ptr<ToyStore> store) : store_(std::move(store)) {}
  ~ToyGate() override { unlock(); }

  GateState inspect(Deadline) override {
    const std::lock_guard lock(store_->mutex_);
    return store_->gate_;
  }
  std::vector<GateCheck> look() override { return {}; }
  void make_ready_to_open() override {}
  void make_ready_to_close() override {
    if (store_->on_ready_to_close_) store_->on_ready_to_close_();
  }
  bool lock(Deadline deadline) override { return take(deadline); }
  Position mark() override {
    const std::lock_guard lock(store_->mutex_);
    return {store_->history_, store_->last_seq_, 0};
  }
  std::vector<Counter> counters() override { return {}; }
  bool prepare(Epoch, const OpenPlan&, Deadline deadline) override { return take(deadline); }
  Position applied() override {
    const std::lock_guard lock(store_->mutex_);
    return store_->applied_.value_or(Position{});
  }
  bool close(Epoch epoch, Deadline) override {
    settle(GateState::Door::kClosed, epoch);
    return true;
  }
  void open(Epoch epoch, const OpenPlan&) override {
    settle(GateState::Door::kOpen, epoch);
    if (store_->on_open_) store_->on_open_();
  }
  void unlock() noexcept override {
    const std::lock_guard lock(store_->mutex_);
    if (holds_) store_->locked_ = false;
    holds_ = false;
    store_->changed_.notify_all();
  }
  void settle_closed() override {}

 private:
  bool take(Deadline deadline) {
    std::unique_lock lock(store_->mutex_);
    if (!store_->changed_.wait_until(lock, deadline.at(), [&] { return !store_->locked_; })) {
      return false;
    }
    store_->locked_ = holds_ = true;
    return true;
  }
  void settle(GateState::Door door, Epoch epoch) {
    {
      const std::lock_guard lock(store_->mutex_);
      store_->gate_ = {door, epoch};
    }
    unlock();
  }

  const std::shared_ptr<ToyStore> store_;
  bool holds_ = false;
};

class ToyEndpoint : public Endpoint {
 public:
  explicit ToyEndpoint(std::shared_ptr<ToyStore> store) : store_(std::move(store)) {}
  std::unique_ptr<ChangeSource> make_source() override {
    return std::make_unique<ToySource>(store_);
  }
  std::unique_ptr<ChangeSink> make_sink() override { return std::make_unique<ToySink>(store_); }
  std::unique_ptr<RowReader> make_reader() override { return std::make_unique<ToyReader>(store_); }
  std::unique_ptr<WriteGate> make_gate(const std::string&) override {
    return std::make_unique<ToyGate>(store_);
  }
  std::vector<Finding> check() override { return {}; }
  std::vector<std::string> plan_install() override { return {}; }
  void install() override {}
  std::string removal_script() override { return {}; }
  void remove() override {}

 private:
  const std::shared_ptr<ToyStore> store_;
};

std::unique_ptr<Endpoint> open_toy(std::shared_ptr<ToyStore> store) {
  return std::make_unique<ToyEndpoint>(std::move(store));
}

}  // namespace switchback
