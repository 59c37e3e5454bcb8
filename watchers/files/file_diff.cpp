#include "watchers/files/file_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "state/base/error.h"
#include "watchers/files/row_key.h"

namespace switchback {
namespace {

// A change that would delete more than half of a file's records, and more than this, is held.
constexpr std::size_t kFewRecords = 3;

}  // namespace

// Which of the records now are which of those before. Equal ones at both ends are left aside.
struct FileDiff::Match {
  std::size_t front = 0, back = 0;
  std::vector<std::uint32_t> was;  // of the records between: index before, or kNone

  std::size_t end(std::size_t size) const { return size - back; }
};

bool FileDiff::keeps_deleted() const {
  const auto& tables = lens_.collection().tables;
  return std::all_of(tables.begin(), tables.end(), [&](const TableSource& source) {
    return mapping_.table(source.table).keep_deleted;
  });
}

void FileDiff::refuse_mass_delete(std::size_t before, std::size_t gone,
                                  std::string_view path) const {
  if (mass_ == MassDelete::kTake || gone <= kFewRecords || 2 * gone <= before) return;
  if (keeps_deleted()) return;
  throw Error(
      ErrorKind::kRefused, Retry::kLater,
      fmt::format("{} of its {} records are gone at once: held, nothing was deleted", gone, before),
      {.object = std::string(path),
       .next = "put the records back, or let it through with `switchback quarantine accept`"});
}

FileDiff::Match FileDiff::match(const std::vector<RecordEntry>& before, RecordInputs& now) const {
  Match match;
  const std::size_t shorter = std::min(before.size(), now.size());
  while (match.front < shorter && before[match.front].bytes == now.hash(match.front)) ++match.front;
  while (match.back < shorter - match.front &&
         before[before.size() - 1 - match.back].bytes == now.hash(now.size() - 1 - match.back)) {
    ++match.back;
  }
  const bool moved = before.size() != now.size();
  if (moved && now.in_list() && holds_places(lens_.collection())) match.front = match.back = 0;

  std::vector<Mark> old_marks, new_marks;
  for (std::size_t i = match.front; i < match.end(before.size()); ++i) {
    old_marks.push_back(ledger_.record(before[i].id).mark);
  }
  // This parses every one of them: a mistake anywhere is found before anything is written.
  for (std::size_t i = match.front; i < match.end(now.size()); ++i) {
    new_marks.push_back(lens_.mark(now.at(i, static_cast<std::int64_t>(i))));
  }
  match.was = align(old_marks, new_marks);
  for (auto& index : match.was) {
    if (index != ElementMemory::kNone) index += static_cast<std::uint32_t>(match.front);
  }
  return match;
}

std::vector<std::optional<std::int64_t>> FileDiff::places_of(const std::vector<RecordEntry>& before,
                                                             const RecordInputs& now,
                                                             const Match& match) const {
  std::vector<std::optional<std::int64_t>> places(now.size());
  const bool held = now.in_list() && holds_places(lens_.collection());
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (!held) {
      places[i] = static_cast<std::int64_t>(i);
      continue;
    }
    std::uint32_t was = ElementMemory::kNone;
    if (i < match.front) {
      was = static_cast<std::uint32_t>(i);
    } else if (i >= match.end(now.size())) {
      was = static_cast<std::uint32_t>(before.size() - (now.size() - i));
    } else {
      was = match.was[i - match.front];
    }
    if (was != ElementMemory::kNone) places[i] = ledger_.record(before[was].id).place;
  }
  if (held) number_places(places);
  return places;
}

// Whether other records claim all of its rows: then it is not deleted but in another place.
bool FileDiff::moved_elsewhere(std::uint64_t record) const {
  const auto rows = ledger_.rows(record);
  return !rows.empty() && std::all_of(rows.begin(), rows.end(), [&](const RowMark& row) {
    return !ledger_.rivals(row.table, row.key).empty();
  });
}

// The record's rows are anybody's until they are taken again. A claim that ends with this leaves
// the key to whoever had it all the while, and whose row may have changed meanwhile without a word:
// it is told again, as are rows without a key.
void FileDiff::let_go(std::uint64_t record, Gone& gone) {
  for (const RowMark& row : ledger_.rows(record)) {
    gone.emplace(std::pair(row.table, row.key), row.row);
    ledger_.remove_row(row.table, row.key);
  }
  for (const DirtyKey& claim : ledger_.remove_rivals(record)) tell(claim.table, claim.key);
  for (const TableId table : ledger_.remove_keyless(record)) {
    tell(table, no_key(mapping_.table(table).key_width));
  }
}

// From the log, since the key may be another's as well.
void FileDiff::tell(TableId table, std::string_view key) {
  ledger_.log(table, key);
  outcome_.contested = true;
}

void FileDiff::take_row(std::uint64_t record, const Chunk& rows, const Change& change, Gone& gone) {
  const std::string key = key_bytes(rows, change, mapping_.table(change.table).key_width);
  const Hash128 hash = row_hash(rows, change);
  if (ledger_.owner(change.table, key)) {
    ledger_.add_rival(record, change.table, key);
    return tell(change.table, key);
  }
  ledger_.put_row(record, {change.table, key, hash});
  const auto was = gone.find({change.table, key});
  const bool same = was != gone.end() && was->second == hash;
  if (was != gone.end()) gone.erase(was);
  if (same) return;
  ledger_.log(change.table, key);
  if (give_ != nullptr) give_->add(rows, change);
}

std::uint64_t FileDiff::take_record(std::int64_t file, const RecordInput& input, std::uint64_t id,
                                    Gone& gone) {
  Chunk rows;
  std::optional<KnownRecord> before;
  if (id != 0) before = ledger_.record(id);
  const RecordRows made = lens_.get(input, before ? &before->memory : nullptr, ledger_, rows);
  const KnownRecord now{lens_.mark(input), input.name, input.place, made.memory};
  if (id == 0) {
    id = ledger_.add_record(file, now);
  } else {
    ledger_.update_record(id, now);
  }
  for (const Change& change : rows.changes()) take_row(id, rows, change, gone);
  for (const KeylessRow& row : made.keyless) {
    ledger_.put_keyless(id, row.table, row.reason);
    tell(row.table, no_key(mapping_.table(row.table).key_width));
  }
  return id;
}

void FileDiff::log_gone(const Gone& gone) {
  for (const auto& [row, hash] : gone) {
    const auto& [table, key] = row;
    ledger_.log(table, key);
    for (const auto& rival : ledger_.rivals(table, key)) {
      ledger_.distrust(rival.file, rival.record);
      outcome_.again.insert(rival.file);
    }
    if (give_ != nullptr) give_->add_delete(table, key);
  }
}

DiffOutcome FileDiff::take(KnownFile known, const FileBytes& file, bool just_written) {
  outcome_ = {};
  RecordInputs now(lens_.collection(), known.path, file);
  const auto before = known.id != 0 ? ledger_.records(known.id) : std::vector<RecordEntry>();
  const Match found = match(before, now);
  std::set<std::size_t> gone_records;
  for (std::size_t i = found.front; i < found.end(before.size()); ++i) gone_records.insert(i);
  for (const std::uint32_t was : found.was) gone_records.erase(was);
  const bool none_new = std::count(found.was.begin(), found.was.end(), ElementMemory::kNone) == 0;
  if (just_written && none_new && !gone_records.empty() && mass_ == MassDelete::kHold &&
      keeps_deleted()) {
    outcome_.unfinished = true;
    return outcome_;
  }
  const auto moved = std::count_if(gone_records.begin(), gone_records.end(),
                                   [&](std::size_t i) { return moved_elsewhere(before[i].id); });
  refuse_mass_delete(before.size(), gone_records.size() - static_cast<std::size_t>(moved),
                     known.path);
  const auto places = places_of(before, now, found);

  // A row that is given here may be claimed by another file's record.
  outcome_.contested = ledger_.contested();
  Gone gone;
  for (std::size_t i = found.front; i < found.end(before.size()); ++i) let_go(before[i].id, gone);
  known.stamp = file.stamp;
  known.bytes = hash_of(file.bytes);
  known.id = ledger_.put_file(known);
  std::vector<RecordEntry> entries;
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (i < found.front) {
      entries.push_back(before[i]);
    } else if (i >= found.end(now.size())) {
      entries.push_back(before[before.size() - (now.size() - i)]);
    } else {
      const std::uint32_t was = found.was[i - found.front];
      const std::uint64_t id = was == ElementMemory::kNone ? 0 : before[was].id;
      entries.push_back({now.hash(i), take_record(known.id, now.at(i, *places[i]), id, gone)});
    }
  }
  for (const std::size_t i : gone_records) ledger_.remove_record(before[i].id);
  ledger_.put_records(known.id, entries);
  log_gone(gone);
  return outcome_;
}

DiffOutcome FileDiff::remove(const KnownFile& known) {
  outcome_ = {};
  const auto before = ledger_.records(known.id);
  if (lens_.collection().records.form != RecordsLayout::Form::kWhole) {
    const auto moved = std::count_if(before.begin(), before.end(), [&](const RecordEntry& entry) {
      return moved_elsewhere(entry.id);
    });
    refuse_mass_delete(before.size(), before.size() - static_cast<std::size_t>(moved), known.path);
  }
  Gone gone;
  for (const RecordEntry& entry : before) {
    let_go(entry.id, gone);
    ledger_.remove_record(entry.id);
  }
  ledger_.forget_file(known.id);
  log_gone(gone);
  return outcome_;
}

}  // namespace switchback
