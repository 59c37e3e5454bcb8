#include "watchers/files/file_rewrite.h"

#include <algorithm>
#include <numeric>

#include "state/base/error.h"
#include "watchers/files/path_pattern.h"
#include "watchers/files/row_key.h"

namespace switchback {
namespace {

std::vector<std::uint32_t> all_of(const Chunk& chunk) {
  std::vector<std::uint32_t> indexes(chunk.changes().size());
  std::iota(indexes.begin(), indexes.end(), 0u);
  return indexes;
}

// Every element of a record that was just written has its identity already.
class WrittenIdentities final : public Identities {
 public:
  std::string new_uuid() override { fail(); }
  std::int64_t next_serial(std::uint16_t, std::uint16_t) override { fail(); }

 private:
  [[noreturn]] static void fail() {
    throw Error(ErrorKind::kInternal, Retry::kNever,
                "a record that was just written has an element without identity");
  }
};

}  // namespace

void add_refused(const Mapping& mapping, const Chunk& changes,
                 const std::vector<RecordText::Refused>& refused, std::vector<Reject>& rejects) {
  for (const auto& one : refused) {
    const Change& change = changes.changes()[one.change];
    const std::uint16_t width = mapping.table(change.table).key_width;
    rejects.push_back(
        {change.table, key_text(changes, changes.row(change).first(width)), one.reason, ""});
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
}

TextStyle FileRewrite::style() const {
  return TextStyle::of(current_.bytes, lens_.collection().ascii);
}

std::optional<FileRewrite::Moved> FileRewrite::put(RecordChanges& changes,
                                                   std::vector<Reject>& rejects) {
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const RecordEntry& entry) {
    return entry.id == changes.record;
  });
  if (at == entries_.end()) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "the ledger has a record in no file");
  }
  const auto i = static_cast<std::size_t>(at - entries_.begin());
  const KnownRecord known = ledger_.record(changes.record);
  RecordText text = lens_.put(inputs_->at(i, known.place), known.memory, changes.changes,
                              all_of(changes.changes), style());
  add_refused(mapping_, changes.changes, text.refused, rejects);
  RecordEdit edit{text.gone ? RecordEdit::Sort::kRemove : RecordEdit::Sort::kReplace, i, text.bytes,
                  text.name};
  if (text.gone) {
    edits_.emplace_back(std::move(edit), std::nullopt);
    ledger_.remove_record(changes.record);
    return std::nullopt;
  }
  if (!text.members.empty() || text.path) {
    const MadePath made = text.path ? MadePath{*text.path, ""}
                                    : make_path(lens_.collection().files.front(), text.members);
    if (!made.path.empty() && made.path != place_.second) {
      edit.sort = RecordEdit::Sort::kRemove;
      edits_.emplace_back(std::move(edit), std::nullopt);
      return Moved{made.path, std::move(text), changes.record};
    }
  }
  edits_.emplace_back(std::move(edit), Touched{changes.record, std::move(text)});
  return std::nullopt;
}

void FileRewrite::insert(RecordText text, std::uint64_t record, bool at_start) {
  std::size_t before = at_start ? 0 : entries_.size();
  if (text.place) {
    before = 0;
    while (before < entries_.size() && ledger_.record(entries_[before].id).place < *text.place) {
      ++before;
    }
  }
  edits_.emplace_back(RecordEdit{RecordEdit::Sort::kInsert, before, text.bytes, text.name},
                      Touched{record, std::move(text)});
}

// Does to the ledger's list what the edits do to the file's; answers where each touched one stands.
std::vector<std::size_t> FileRewrite::apply_edits(std::vector<RecordEntry>& entries,
                                                  std::vector<Touched*>& touched) {
  std::vector<std::size_t> places;
  std::vector<RecordEntry> now;
  for (std::size_t i = 0; i <= entries.size(); ++i) {
    bool removed = false;
    Touched* replaced = nullptr;
    for (auto& [edit, what] : edits_) {
      if (edit.index != i) continue;
      if (edit.sort == RecordEdit::Sort::kRemove) removed = true;
      if (edit.sort == RecordEdit::Sort::kReplace) replaced = &*what;
      if (edit.sort != RecordEdit::Sort::kInsert) continue;
      places.push_back(now.size());
      touched.push_back(&*what);
      now.push_back({});
    }
    if (i == entries.size() || removed) continue;
    if (replaced != nullptr) {
      places.push_back(now.size());
      touched.push_back(replaced);
    }
    now.push_back(entries[i]);
  }
  entries = std::move(now);
  return places;
}

void FileRewrite::note_record(std::int64_t file, RecordInputs& inputs, std::size_t at,
                              Touched& touched, RecordEntry& entry) {
  WrittenIdentities none;
  Chunk rows;
  const std::int64_t place = touched.text.place.value_or(static_cast<std::int64_t>(at));
  const RecordInput& input = inputs.at(at, place);
  const RecordRows made = lens_.get(input, &touched.text.memory, none, rows);
  const KnownRecord known{lens_.mark(input), input.name, place, made.memory};
  if (touched.record == 0) {
    touched.record = ledger_.add_record(file, known);
  } else {
    for (const RowMark& row : ledger_.rows(touched.record)) ledger_.remove_row(row.table, row.key);
    ledger_.move_record(touched.record, file);
    ledger_.update_record(touched.record, known);
  }
  for (const Change& change : rows.changes()) {
    const std::uint16_t width = mapping_.table(change.table).key_width;
    ledger_.put_row(touched.record,
                    {change.table, key_bytes(rows, change, width), row_hash(rows, change)});
  }
  entry = {inputs.hash(at), touched.record};
}

std::optional<std::string> FileRewrite::finish() {
  std::vector<Touched*> touched;
  const auto places = apply_edits(entries_, touched);
  const bool whole = lens_.collection().records.form == RecordsLayout::Form::kWhole;
  if (whole && entries_.empty()) {
    if (known_) ledger_.forget_file(known_->id);
    return std::nullopt;
  }
  std::vector<RecordEdit> edits;
  for (const auto& [edit, what] : edits_) edits.push_back(edit);
  const FileRecords none;
  FileBytes now;
  now.bytes = edit_records(current_.bytes, inputs_ ? inputs_->records() : none,
                           lens_.collection().records, edits, style());
  now.stamp.size = static_cast<std::int64_t>(now.bytes.size());
  KnownFile file;
  file.collection = place_.first;
  file.path = place_.second;
  file.bytes = hash_of(now.bytes);
  file.id = ledger_.put_file(file);
  RecordInputs inputs(lens_.collection(), place_.second, now);
  if (inputs.size() != entries_.size()) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a file was written with other records",
                {.object = place_.second});
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    note_record(file.id, inputs, places[i], *touched[i], entries_[places[i]]);
  }
  ledger_.put_records(file.id, entries_);
  return std::move(now.bytes);
}

}  // namespace switchback
