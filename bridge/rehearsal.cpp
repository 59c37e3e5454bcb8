#include "bridge/rehearsal.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>

#include "bridge/verify/columns.h"
#include "bridge/verify/live.h"
#include "bridge/verify/row_pair.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/model/copy_change.h"
#include "watchers/files/record_targets.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "reverse rehearsal";
constexpr const char* kLimit = "a row of each table can be written back";
constexpr const char* kCure =
    "a row that PostgreSQL writes could not go back to the old store: change the mapping, or the "
    "old store's table, so that it can";

/// A folder that is gone when this is.
class Scratch {
 public:
  explicit Scratch(fs::path folder) : folder_(std::move(folder)) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~Scratch() {
    std::error_code ignored;  // what is left is removed before the next one
    fs::remove_all(folder_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  const fs::path folder_;
};

class Rehearsal {
 public:
  Rehearsal(const Site& site, Endpoint& scratch)
      : mapping_(*site.mapping),
        postgres_(site.postgres->make_reader()),
        scratch_(scratch),
        same_(ask_postgres(site.config)) {}

  std::vector<GateCheck> run() {
    for (const TableId id : mapping_.parents_first()) pick(id);
    write();
    for (const TableId id : mapping_.parents_first()) compare(id);
    erase();
    if (!failed_.empty()) return std::move(failed_);
    return {{kName,
             fmt::format("{} rows of {} tables written, read back and deleted{}{}", tried_,
                         picked_.size(), empty_ == 0 ? "" : fmt::format("; {} are empty", empty_),
                         alone_ == 0 ? "" : fmt::format("; {} could not be tried alone", alone_)),
             kLimit}};
  }

 private:
  void pick(TableId id);
  void pick_parents(const Chunk& chunk, const Change& change);
  bool add(const Chunk& chunk, const Change& change);
  void write();
  void compare(TableId id);
  void erase();
  Chunk in_order(bool parents_first, Op op) const;
  void apply(Chunk chunk, std::uint64_t value);
  void fail(TableId table, const std::string& key, const std::string& what) {
    failed_.push_back({kName,
                       fmt::format("{} {}: {}", qualified_name(mapping_.table(table)), key, what),
                       kLimit, false, kCure});
  }

  const Mapping& mapping_;
  const std::unique_ptr<RowReader> postgres_;
  Endpoint& scratch_;
  const SameInPostgres same_;
  std::map<TableId, Chunk> picked_;                    // upserts
  std::set<std::pair<TableId, std::string>> keys_;     // of them
  std::set<std::pair<TableId, std::string>> refused_;  // by the sink
  std::vector<GateCheck> failed_;
  std::size_t tried_ = 0, empty_ = 0, alone_ = 0;
};

bool Rehearsal::add(const Chunk& chunk, const Change& change) {
  const std::uint16_t width = mapping_.table(change.table).key_width;
  const std::string key = key_text(chunk, chunk.row(change).first(width));
  if (change.op != Op::kUpsert || !keys_.emplace(change.table, key).second) return false;
  copy_change(chunk, change, width, picked_[change.table]);
  return true;
}

void Rehearsal::pick(TableId id) {
  Chunk rows;
  ScanCursor cursor;
  postgres_->scan(id, cursor, rows);
  for (const Change& change : rows.changes()) {
    if (change.op != Op::kUpsert) continue;
    if (add(rows, change)) pick_parents(rows, change);
    return;
  }
  ++empty_;
}

// Where the old store keeps a row inside of its parent, it needs it.
void Rehearsal::pick_parents(const Chunk& chunk, const Change& change) {
  for (const ForeignKey& key : mapping_.table(change.table).foreign_keys) {
    const TableMap& parent = mapping_.table(key.parent);
    if (!parent.flows()) continue;
    Chunk wanted;
    bool whole = true;
    for (std::uint16_t i = 0; i < parent.key_width && whole; ++i) {
      const auto at = std::find(key.parent_columns.begin(), key.parent_columns.end(), i);
      whole = at != key.parent_columns.end();
      if (!whole) break;
      const auto column = key.columns[static_cast<std::size_t>(at - key.parent_columns.begin())];
      const Cell& cell = chunk.row(change)[column];
      whole = cell.kind != Kind::kNull;
      if (whole) wanted.add(copy_cell(cell, chunk, wanted));
    }
    if (!whole) continue;
    wanted.end_delete(parent.id);
    Chunk found;
    postgres_->fetch(parent.id, wanted, found);
    for (const Change& row : found.changes()) {
      if (add(found, row)) pick_parents(found, row);
    }
  }
}

Chunk Rehearsal::in_order(bool parents_first, Op op) const {
  auto order = mapping_.parents_first();
  if (!parents_first) std::reverse(order.begin(), order.end());
  Chunk out;
  for (const TableId id : order) {
    const auto found = picked_.find(id);
    if (found == picked_.end()) continue;
    const std::uint16_t width = mapping_.table(id).key_width;
    for (const Change& change : found->second.changes()) {
      if (op == Op::kUpsert) {
        copy_change(found->second, change, width, out);
        continue;
      }
      for (const Cell& cell : found->second.row(change).first(width)) {
        out.add(copy_cell(cell, found->second, out));
      }
      out.end_delete(id);
    }
  }
  return out;
}

void Rehearsal::apply(Chunk chunk, std::uint64_t value) {
  const auto sink = scratch_.make_sink();
  sink->applied();
  chunk.boundary = Position{1, value, 0};
  std::vector<Reject> rejects;
  sink->apply(chunk, rejects);
  sink->commit(*chunk.boundary, rejects);
  for (const Reject& reject : rejects) {
    if (!refused_.emplace(reject.table, reject.key).second) continue;
    if (reject.reason.starts_with(kNoRecordEncloses)) {
      ++alone_;
    } else {
      fail(reject.table, reject.key, "cannot be written back: " + reject.reason);
    }
  }
}

void Rehearsal::write() {
  apply(in_order(true, Op::kUpsert), 1);
}

void Rehearsal::compare(TableId id) {
  const auto found = picked_.find(id);
  if (found == picked_.end()) return;
  const TableMap& map = mapping_.table(id);
  const Chunk& wanted = found->second;
  Chunk back;
  scratch_.make_reader()->fetch(id, wanted, back);
  for (std::size_t i = 0; i < wanted.changes().size(); ++i) {
    const Change& change = wanted.changes()[i];
    const std::string key = key_text(wanted, wanted.row(change).first(map.key_width));
    if (refused_.contains({id, key})) continue;
    ++tried_;
    const auto same_key =
        std::find_if(back.changes().begin(), back.changes().end(), [&](const Change& one) {
          return one.op != Op::kDelete && key_text(back, back.row(one).first(map.key_width)) == key;
        });
    if (same_key == back.changes().end()) {
      fail(id, key, "was written, and is not there");
      continue;
    }
    const RowPair pair{&*same_key, back, &change, wanted};
    if (const auto why = pair.misfit()) {
      fail(id, key, "was written, and cannot be read back: " + std::string(*why));
      continue;
    }
    if (is_spelled_apart(map, pair, same_)) continue;
    for (const std::uint16_t c : pair.unequal(map)) {
      const auto [old_value, postgres_value] =
          value_words(pair.old_row()[c], back, pair.postgres_row()[c], wanted);
      fail(id, key,
           fmt::format("{} comes back as {}, not {}", map.columns[c].name, old_value,
                       postgres_value));
    }
  }
}

void Rehearsal::erase() {
  if (!failed_.empty()) return;
  apply(in_order(false, Op::kDelete), 2);
  for (const auto& [id, rows] : picked_) {
    Chunk back;
    scratch_.make_reader()->fetch(id, rows, back);
    for (const Change& change : back.changes()) {
      if (change.op == Op::kDelete) continue;
      const std::uint16_t width = mapping_.table(id).key_width;
      fail(id, key_text(back, back.row(change).first(width)), "was deleted, and is still there");
    }
  }
}

}  // namespace

std::vector<GateCheck> rehearse_reverse(const Site& site, const fs::path& folder) {
  const NoFailpoints thrown_away;
  try {
    const Scratch scratch(folder);
    const auto store = site.old_side->make_scratch(folder);
    if (!store) return {};
    return Rehearsal(site, *store).run();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUnreachable) throw;
    return {{kName, fmt::format("the rehearsal failed: {}", error.what()), kLimit, false,
             error.detail().next.empty() ? kCure : error.detail().next}};
  } catch (const fs::filesystem_error& error) {
    return {{kName, fmt::format("the rehearsal failed: {}", error.what()), kLimit, false,
             "make room in the state directory"}};
  }
}

}  // namespace switchback
