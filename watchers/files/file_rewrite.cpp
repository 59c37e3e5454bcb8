#include "watchers/files/file_rewrite.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "state/base/error.h"
#include "watchers/files/large_file.h"
#include "watchers/files/record_path.h"
#include "watchers/files/row_key.h"
#include "watchers/files/spooled_text.h"

namespace switchback {
namespace {

std::vector<std::uint32_t> all_of(const Chunk& chunk) {
  std::vector<std::uint32_t> indexes(chunk.changes().size());
  std::iota(indexes.begin(), indexes.end(), 0u);
  return indexes;
}

// A record that moves is indented as it was where it came from.
std::string without_indent(const std::string& bytes) {
  const std::size_t last = bytes.rfind('\n');
  if (last == bytes.npos) return bytes;
  const std::string line =
      "\n" + bytes.substr(last + 1, bytes.find_first_not_of(" \t", last + 1) - last - 1);
  std::string out;
  for (std::size_t from = 0; from < bytes.size();) {
    const std::size_t at = std::min(bytes.find(line, from), bytes.size());
    out.append(bytes, from, at - from);
    if (at == bytes.size()) break;
    out += '\n';
    from = at + line.size();
  }
  return out;
}

}  // namespace

void add_refused(const Mapping& mapping, const Chunk& changes,
                 const std::vector<RecordText::Refused>& refused, std::vector<Reject>& rejects) {
  for (const auto& one : refused) {
    const Change& change = changes.changes()[one.change];
    const std::uint16_t width = mapping.table(change.table).key_width;
    rejects.push_back({change.table, key_text(changes, changes.row(change).first(width)),
                       one.reason, std::string(one.orphan ? kForeignKeyViolation : "")});
  }
}

FileRewrite::FileRewrite(const Mapping& mapping, const FileScan& scan, FilesLedger& ledger,
                         FilePlace place, std::optional<KnownFile> known, FileBytes current)
    : mapping_(mapping),
      lens_(scan.lens(place.first)),
      ledger_(ledger),
      place_(std::move(place)),
      known_(std::move(known)),
      current_(std::move(current)) {
  if (!known_) return;
  inputs_.emplace(lens_.collection(), place_.second, current_);
  entries_ = ledger_.records(known_->id);
  for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].id, i);
}

const TextStyle& FileRewrite::style() {
  if (!style_) style_ = TextStyle::of(current_.bytes, lens_.collection().ascii);
  return *style_;
}

std::optional<FileRewrite::Moved> FileRewrite::put(const RecordChanges& changes,
                                                   std::vector<Reject>& rejects) {
  const std::size_t i = index_.at(changes.record);
  const KnownRecord known = ledger_.record(changes.record);
  places_[i] = known.place;  // the ledger may forget the record, but it stands in the file yet
  const RecordInput& input = inputs_->at(i, known.place);
  RecordText text =
      lens_.put(input, known.memory, changes.changes, all_of(changes.changes), style());
  if (text.gone) {
    add_refused(mapping_, changes.changes, text.refused, rejects);
    for (const RowMark& row : ledger_.rows(changes.record)) vanished_.emplace(row.table, row.key);
    take_out(changes.record);
    ledger_.remove_record(changes.record);
    return std::nullopt;
  }
  // A pattern without members says nothing of the record, so it stays where it is.
  if (text.path || text.members != input.file->members) {
    MadePath to = record_path(lens_.collection(), text, place_.second);
    if (to.path != place_.second) return Moved{std::move(to), std::move(text)};
  }
  add_refused(mapping_, changes.changes, text.refused, rejects);
  // Given another place in its list: what looks for places there relies on their order.
  if (text.place && text.name.empty() && *text.place != known.place) {
    take_out(changes.record);
    insert(std::move(text), changes.record, false);
    return std::nullopt;
  }
  edits_.push_back({{RecordEdit::Sort::kReplace, i, text.bytes, text.name},
                    Touched{changes.record, std::move(text)}});
  return std::nullopt;
}

void FileRewrite::take_out(std::uint64_t record) {
  edits_.push_back({{RecordEdit::Sort::kRemove, index_.at(record), {}, {}}, std::nullopt});
}

bool FileRewrite::is_one_record() const {
  const auto form = lens_.collection().records.form;
  return form == RecordsLayout::Form::kWhole || form == RecordsLayout::Form::kOpaque;
}

bool FileRewrite::has_room() const {
  if (!is_one_record()) return true;
  std::size_t born = 0, gone = 0;
  for (const Edit& edit : edits_) {
    born += edit.edit.sort == RecordEdit::Sort::kInsert ? 1 : 0;
    gone += edit.edit.sort == RecordEdit::Sort::kRemove ? 1 : 0;
  }
  return entries_.size() + born == gone;
}

std::int64_t FileRewrite::place_at(std::size_t i) {
  const auto [at, missing] = places_.try_emplace(i);
  if (missing) at->second = ledger_.record(entries_[i].id).place;
  return at->second;
}

void FileRewrite::insert(RecordText text, std::uint64_t record, bool at_start) {
  if (record != 0) text.bytes = without_indent(text.bytes);
  std::size_t before = at_start ? 0 : entries_.size();
  if (text.place && text.name.empty()) {
    // Places grow along the list.
    std::size_t first = 0, last = entries_.size();
    while (first < last) {
      const std::size_t middle = (first + last) / 2;
      if (place_at(middle) < *text.place) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    before = first;
  }
  edits_.push_back({{RecordEdit::Sort::kInsert, before, text.bytes, text.name},
                    Touched{record, std::move(text)}});
}

// In the file's order; records born at one place in that of their own places, else as they came.
void FileRewrite::sort_edits() {
  std::stable_sort(edits_.begin(), edits_.end(), [](const Edit& a, const Edit& b) {
    if (a.edit.index != b.edit.index) return a.edit.index < b.edit.index;
    const bool a_born = a.edit.sort == RecordEdit::Sort::kInsert;
    const bool b_born = b.edit.sort == RecordEdit::Sort::kInsert;
    if (a_born != b_born) return a_born;
    return a_born && a.touched->text.place && b.touched->text.place &&
           *a.touched->text.place < *b.touched->text.place;
  });
}

// Does to the ledger's list what the edits do to the file's; answers where each touched one stands.
std::vector<std::pair<std::size_t, FileRewrite::Touched*>> FileRewrite::apply_edits() {
  std::vector<std::pair<std::size_t, Touched*>> touched;
  std::vector<RecordEntry> now;
  auto edit = edits_.begin();
  for (std::size_t i = 0; i <= entries_.size(); ++i) {
    bool stays = i < entries_.size();
    for (; edit != edits_.end() && edit->edit.index == i; ++edit) {
      if (edit->touched) touched.emplace_back(now.size(), &*edit->touched);
      if (edit->edit.sort == RecordEdit::Sort::kInsert) now.push_back({});
      if (edit->edit.sort == RecordEdit::Sort::kRemove) stays = false;
    }
    if (stays) now.push_back(entries_[i]);
  }
  entries_ = std::move(now);
  return touched;
}

void FileRewrite::note_record(std::int64_t file, RecordInputs& inputs, std::size_t at,
                              Touched& touched) {
  NoNewIdentities none;
  Chunk rows;
  const std::int64_t place = touched.text.place.value_or(static_cast<std::int64_t>(at));
  const RecordInput& input = inputs.at(at, place);
  const RecordRows made = lens_.get(input, &touched.text.memory, none, rows);
  const KnownRecord known{lens_.mark(input), input.name, place, made.memory};
  std::set<LedgerKey> lost;
  if (touched.record == 0) {
    touched.record = ledger_.add_record(file, known);
  } else {
    for (const RowMark& row : ledger_.rows(touched.record)) {
      ledger_.remove_row(row.table, row.key);
      lost.emplace(row.table, row.key);
    }
    ledger_.move_record(touched.record, file);
    ledger_.update_record(touched.record, known);
  }
  for (const Change& change : rows.changes()) {
    const std::uint16_t width = mapping_.table(change.table).key_width;
    const std::string key = key_bytes(rows, change, width);
    ledger_.put_row(touched.record, {change.table, key, row_hash(rows, change)});
    lost.erase({change.table, key});
  }
  vanished_.merge(lost);
  entries_[at] = {inputs.hash(at), touched.record};
}

std::string FileRewrite::take_current() {
  style();
  inputs_.reset();
  return std::move(current_.bytes);
}

std::string FileRewrite::edited(std::string base, const std::filesystem::path& spool_folder) {
  const RecordsLayout& layout = lens_.collection().records;
  std::vector<RecordEdit> edits;
  for (const Edit& edit : edits_) edits.push_back(edit.edit);
  FileRecords records;
  if (known_) records = divide(base, layout, place_.second);
  if (base.size() <= static_cast<std::size_t>(kLargeFile)) {
    return edit_records(base, records, layout, edits, style());
  }
  SpooledText out(spool_folder);
  edit_records(base, records, layout, edits, style(),
               [&](std::string_view text) { out.append(text); });
  std::string().swap(base);
  records = {};
  return out.take();
}

std::optional<std::string> FileRewrite::finish(std::string base,
                                               const std::filesystem::path& spool_folder) {
  sort_edits();
  const auto touched = apply_edits();
  const Collection& collection = lens_.collection();
  if (is_one_record() && entries_.empty()) {
    if (known_) ledger_.forget_file(known_->id);
    return std::nullopt;
  }
  FileBytes now;
  now.bytes = edited(std::move(base), spool_folder);
  now.stamp.size = static_cast<std::int64_t>(now.bytes.size());
  KnownFile file;
  file.collection = place_.first;
  file.path = place_.second;
  file.bytes = hash_of(now.bytes);
  if (known_) file.stamp.device = known_->stamp.device;  // of the rest the next look learns
  file.id = ledger_.put_file(file);
  RecordInputs inputs(collection, place_.second, now);
  if (inputs.size() != entries_.size()) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a file would be written with other records",
                {.object = place_.second});
  }
  for (const auto& [at, what] : touched) note_record(file.id, inputs, at, *what);
  ledger_.put_records(file.id, entries_);
  return std::move(now.bytes);
}

}  // namespace switchback
