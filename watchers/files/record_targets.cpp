#include "watchers/files/record_targets.h"

#include <algorithm>
#include <set>

#include "state/model/copy_change.h"
#include "watchers/files/row_key.h"

namespace switchback {
namespace {

bool is_partial(const Chunk& chunk, const Change& change) {
  const auto row = chunk.row(change);
  return std::any_of(row.begin(), row.end(),
                     [](const Cell& cell) { return cell.kind == Kind::kUnchanged; });
}

/// What would come back from the file could not be taken by PostgreSQL.
const ColumnMap* null_where_none_may_be(const Mapping& mapping, const Chunk& chunk,
                                        const Change& change) {
  if (change.op != Op::kUpsert) return nullptr;
  const auto& columns = mapping.table(change.table).columns;
  const auto row = chunk.row(change);
  for (std::size_t c = 0; c < row.size() && c < columns.size(); ++c) {
    if (columns[c].not_null && row[c].kind == Kind::kNull) return &columns[c];
  }
  return nullptr;
}

}  // namespace

RecordTargets::RecordTargets(const Mapping& mapping, const DocumentMap& documents,
                             const FileScan& scan, const FilesLedger& ledger)
    : mapping_(mapping), scan_(scan), ledger_(ledger), collection_of_(mapping.tables.size()) {
  for (std::uint16_t i = 0; i < documents.collections.size(); ++i) {
    for (const TableSource& source : documents.collections[i].tables) {
      collection_of_[index(source.table)] = i;
    }
  }
}

const Lens& RecordTargets::lens(TableId table) const {
  return scan_.lens(collection_of_[index(table)]);
}

std::size_t RecordTargets::of_record(std::uint64_t record, std::int64_t file, TableId table) {
  const auto [at, born] = by_record_.try_emplace(record, records_.size());
  if (born) {
    RecordChanges& made = records_.emplace_back();
    made.collection = collection_of_[index(table)];
    made.file = file;
    made.record = record;
  }
  return at->second;
}

std::optional<std::size_t> RecordTargets::find(const Key& key) {
  if (const auto born = born_.find(key); born != born_.end()) return born->second;
  const auto owner = ledger_.owner(key.first, key.second);
  if (!owner || left_.contains(key)) return std::nullopt;
  return of_record(owner->record, owner->file, key.first);
}

std::optional<std::size_t> RecordTargets::enclosing(const Chunk& chunk, const Change& change) {
  const auto outer = lens(change.table).enclosing(change.table, chunk.row(change));
  if (!outer) return std::nullopt;
  return find({outer->table, row_bytes(chunk, outer->cells)});
}

void RecordTargets::take(std::size_t target, const Chunk& chunk, const Change& change) {
  const std::uint16_t width = mapping_.table(change.table).key_width;
  copy_change(chunk, change, width, records_[target].changes);
  if (change.old_key != Change::kNone) {
    const Key before{change.table, row_bytes(chunk, chunk.old_key(change, width))};
    born_.erase(before);
    left_.insert(before);
  }
  if (change.op == Op::kUpsert) {
    born_[{change.table, key_bytes(chunk, change, width)}] = target;
  }
}

void RecordTargets::add_truncate(TableId table) {
  std::set<std::string> keys;
  for (std::string& key : ledger_.keys(table)) keys.insert(std::move(key));
  for (const auto& [row, target] : born_) {
    if (row.first == table) keys.insert(row.second);
  }
  for (const std::string& key : keys) {
    const auto target = find({table, key});
    if (!target) continue;
    add_cells(key, records_[*target].changes);
    records_[*target].changes.end_delete(table);
  }
}

void RecordTargets::reject(const Chunk& chunk, const Change& change, std::string reason,
                           std::string_view sqlstate, std::vector<Reject>& rejects) const {
  const std::uint16_t width = mapping_.table(change.table).key_width;
  rejects.push_back({change.table, key_text(chunk, chunk.row(change).first(width)),
                     std::move(reason), std::string(sqlstate)});
}

bool RecordTargets::was_refused(const Chunk& chunk, const Change& change) {
  if (!ledger_.has_quarantine()) return false;
  if (!refused_) {
    refused_.emplace();
    for (QuarantineEntry& entry : ledger_.quarantine()) {
      refused_->emplace(std::move(entry.name), std::move(entry.key));
    }
  }
  const TableMap& map = mapping_.table(change.table);
  const std::string name = qualified_name(map);
  if (refused_->contains({name, key_text(chunk, chunk.row(change).first(map.key_width))})) {
    return true;
  }
  return change.old_key != Change::kNone &&
         refused_->contains({name, key_text(chunk, chunk.old_key(change, map.key_width))});
}

void RecordTargets::erase_deleted(std::set<LedgerKey>& rows) const {
  for (const RecordChanges& record : records_) {
    const Chunk& chunk = record.changes;
    for (const Change& change : chunk.changes()) {
      const std::uint16_t width = mapping_.table(change.table).key_width;
      if (change.old_key != Change::kNone) {
        rows.erase({change.table, row_bytes(chunk, chunk.old_key(change, width))});
      }
      if (change.op == Op::kDelete) rows.erase({change.table, key_bytes(chunk, change, width)});
    }
  }
}

bool RecordTargets::add_change(const Chunk& chunk, const Change& change,
                               std::vector<Reject>& rejects) {
  const std::uint16_t width = mapping_.table(change.table).key_width;
  if (change.op == Op::kMisfit) {
    reject(chunk, change, std::string(chunk.text(change.reason)), "", rejects);
    return true;
  }
  if (const ColumnMap* column = null_where_none_may_be(mapping_, chunk, change)) {
    reject(chunk, change, column->name + ": NULL in a column that may not hold it", "", rejects);
    return true;
  }
  const bool renamed = change.old_key != Change::kNone;
  const std::string key =
      renamed ? row_bytes(chunk, chunk.old_key(change, width)) : key_bytes(chunk, change, width);
  const auto home = find({change.table, key});
  if (renamed && !home) {  // it has the new key already, or comes as a row like any other
    Change plain = change;
    plain.old_key = Change::kNone;
    return add_change(chunk, plain, rejects);
  }
  if (change.op == Op::kDelete) {
    if (home) take(*home, chunk, change);
    return true;
  }
  const bool is_record = lens(change.table).is_record(change.table);
  std::optional<std::size_t> outer;
  if (!is_record) outer = enclosing(chunk, change);
  if (home && (is_record || !outer || *outer == *home)) {
    // What did not change since is not what stands here: the row is read again, and then whole.
    if (is_partial(chunk, change) && was_refused(chunk, change)) {
      reject(chunk, change, "only a part of it came, and what came before was refused",
             kForeignKeyViolation, rejects);
    }
    take(*home, chunk, change);
    return true;
  }
  if (is_partial(chunk, change)) {  // as an orphan is, it is read again, and then whole
    reject(chunk, change,
           home ? "it moves to another record, and only a part of it came"
                : "only a part of it came, and it is not here",
           kForeignKeyViolation, rejects);
    return true;
  }
  if (!home && !is_record && !outer) return false;
  if (home) {  // it moves to another record
    add_cells(key, records_[*home].changes);
    records_[*home].changes.end_delete(change.table);
  }
  if (!is_record) {
    take(*outer, chunk, change);
    return true;
  }
  RecordChanges& born = records_.emplace_back();
  born.collection = collection_of_[index(change.table)];
  take(records_.size() - 1, chunk, change);
  return true;
}

// What follows a change that waits, for the same row, waits behind it.
void RecordTargets::add_or_wait(const Chunk& chunk, const Change& change,
                                std::vector<Reject>& rejects) {
  const std::uint16_t width = mapping_.table(change.table).key_width;
  const Key key{change.table, key_bytes(chunk, change, width)};
  const bool renamed = change.old_key != Change::kNone;
  const Key before =
      renamed ? Key{change.table, row_bytes(chunk, chunk.old_key(change, width))} : key;
  const bool behind = waiting_keys_.contains(key) || waiting_keys_.contains(before);
  if (!behind && add_change(chunk, change, rejects)) return;
  copy_change(chunk, change, width, waiting_);
  waiting_keys_.insert(key);
}

void RecordTargets::add(const Chunk& chunk, std::vector<Reject>& rejects) {
  for (const Change& change : chunk.changes()) {
    if (change.op == Op::kTruncate) {
      add_truncate(change.table);
    } else {
      add_or_wait(chunk, change, rejects);
    }
  }
}

// Rows that wait for each other find their record one level per round.
void RecordTargets::settle(std::vector<Reject>& rejects) {
  while (!waiting_.empty()) {
    Chunk before;
    std::swap(before, waiting_);
    waiting_keys_.clear();
    for (const Change& change : before.changes()) add_or_wait(before, change, rejects);
    if (waiting_.changes().size() < before.changes().size()) continue;
    for (const Change& change : waiting_.changes()) {
      if (change.op == Op::kDelete) continue;
      reject(waiting_, change,
             std::string(kNoRecordEncloses) + ": the row it refers to is not here",
             kForeignKeyViolation, rejects);
    }
    waiting_.clear();
  }
}

}  // namespace switchback
