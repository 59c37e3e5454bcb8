#include "watchers/files/sink.h"

#include <algorithm>
#include <map>
#include <optional>

#include "state/base/error.h"
#include "watchers/files/file_rewrite.h"
#include "watchers/files/journal.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

class FilesSink final : public ChangeSink {
 public:
  FilesSink(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
            const std::filesystem::path& ledger)
      : mapping_(std::move(mapping)),
        documents_(std::move(documents)),
        ledger_(FilesLedger::open(ledger, false)),
        scan_(mapping_, documents_, *ledger_),
        journal_(*ledger_) {}
  ~FilesSink() override { rollback(); }

  Position applied() override {
    finish_intended();
    return ledger_->applied();
  }
  void apply(const Chunk& chunk, std::vector<Reject>& rejects) override {
    if (!write_) begin();
    note_keys(chunk);
    targets_->add(chunk, rejects);
    if (chunk.boundary) rewrite(rejects);
  }
  void commit(const Position& position, std::span<const Reject> rejects) override;
  void rollback() noexcept override {
    write_.reset();
    targets_.reset();
    journal_.discard();
    writes_.clear();
    keys_.clear();
  }
  Position durable() override { return applied(); }
  std::uint64_t quarantined() override { return ledger_->quarantined(); }

 private:
  using Rewrites = std::map<FilePlace, FileRewrite>;

  void begin();
  void finish_intended();
  void note_keys(const Chunk& chunk);
  void rewrite(std::vector<Reject>& rejects);
  FileRewrite* file_of(Rewrites& files, std::uint16_t collection, const KnownFile& known);
  FileRewrite* new_file(Rewrites& files, std::uint16_t collection, const std::string& path);
  void add_born(Rewrites& files, RecordChanges& changes, std::vector<Reject>& rejects);
  void stage(const FilePlace& place, FileRewrite& file);
  bool at_start(std::uint16_t collection) const;
  static void reject_all(const Mapping& mapping, const Chunk& changes, const std::string& reason,
                         std::vector<Reject>& rejects);
  std::string table_name(TableId table) const {
    const TableMap& map = mapping_->table(table);
    return map.schema + "." + map.table;
  }

  const std::shared_ptr<const Mapping> mapping_;
  const std::shared_ptr<const DocumentMap> documents_;
  const std::unique_ptr<FilesLedger> ledger_;
  FileScan scan_;
  FileJournal journal_;

  // Of the batch under way.
  std::optional<LedgerWrite> write_;
  std::optional<RecordTargets> targets_;
  std::vector<FileWrite> writes_;
  std::vector<std::pair<std::string, std::string>> keys_;  // touched: their quarantine ends
};

// A crash may have left files half replaced: before anything else is read or written.
void FilesSink::finish_intended() {
  for (const std::string& path : journal_.replay()) {
    LedgerWrite write(*ledger_);
    ledger_->put_quarantine("files", path,
                            "the file was changed behind the fence, so it was left as it is");
    write.make_durable();
  }
}

void FilesSink::begin() {
  finish_intended();
  write_.emplace(*ledger_);
  targets_.emplace(*mapping_, *documents_, scan_, *ledger_);
}

void FilesSink::note_keys(const Chunk& chunk) {
  if (ledger_->quarantined() == 0) return;
  for (const Change& change : chunk.changes()) {
    if (change.op == Op::kTruncate) continue;
    const std::uint16_t width = mapping_->table(change.table).key_width;
    keys_.emplace_back(table_name(change.table), key_text(chunk, chunk.row(change).first(width)));
  }
}

void FilesSink::reject_all(const Mapping& mapping, const Chunk& changes, const std::string& reason,
                           std::vector<Reject>& rejects) {
  std::vector<RecordText::Refused> refused;
  for (std::uint32_t i = 0; i < changes.changes().size(); ++i) refused.push_back({i, reason});
  add_refused(mapping, changes, refused, rejects);
}

// nullptr: the file is not as the ledger knows it.
FileRewrite* FilesSink::file_of(Rewrites& files, std::uint16_t collection, const KnownFile& known) {
  const FilePlace place{collection, known.path};
  if (const auto found = files.find(place); found != files.end()) return &found->second;
  ReadResult read = read_store_file(documents_->collections[collection].root, known.path);
  if (read.outcome != ReadOutcome::kRead || hash_of(read.file.bytes) != known.bytes) return nullptr;
  return &files.try_emplace(place, *mapping_, scan_, *ledger_, place, known, std::move(read.file))
              .first->second;
}

FileRewrite* FilesSink::new_file(Rewrites& files, std::uint16_t collection,
                                 const std::string& path) {
  if (const auto known = ledger_->file(collection, path)) return file_of(files, collection, *known);
  const FilePlace place{collection, path};
  return &files.try_emplace(place, *mapping_, scan_, *ledger_, place, std::nullopt, FileBytes{})
              .first->second;
}

bool FilesSink::at_start(std::uint16_t collection) const {
  for (const TableSource& table : documents_->collections[collection].tables) {
    if (table.level == 0) return table.at_start;
  }
  return false;
}

void FilesSink::add_born(Rewrites& files, RecordChanges& changes, std::vector<Reject>& rejects) {
  const Collection& collection = documents_->collections[changes.collection];
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < changes.changes.changes().size(); ++i) all.push_back(i);
  const auto known = ledger_->files();
  const auto sibling = std::find_if(known.begin(), known.end(), [&](const KnownFile& file) {
    return file.collection == changes.collection;
  });
  std::string like;
  if (sibling != known.end()) {
    like = read_store_file(collection.root, sibling->path).file.bytes;
  }
  const bool in_map = !like.empty() && divide(like, collection.records, sibling->path).frame ==
                                           FileRecords::Frame::kMap;
  RecordText text =
      scan_.lens(changes.collection)
          .make({}, in_map, changes.changes, all, TextStyle::of(like, collection.ascii));
  add_refused(*mapping_, changes.changes, text.refused, rejects);
  if (text.gone || text.bytes.empty()) return;
  const MadePath made =
      text.path ? MadePath{*text.path, ""} : make_path(collection.files.front(), text.members);
  if (made.path.empty()) return reject_all(*mapping_, changes.changes, made.reason, rejects);
  FileRewrite* file = new_file(files, changes.collection, made.path);
  if (file == nullptr) {
    return reject_all(*mapping_, changes.changes, made.path + " was changed behind the fence",
                      rejects);
  }
  file->insert(std::move(text), 0, at_start(changes.collection));
}

void FilesSink::rewrite(std::vector<Reject>& rejects) {
  Rewrites files;
  for (RecordChanges& changes : targets_->records()) {
    if (changes.record == 0) {
      add_born(files, changes, rejects);
      continue;
    }
    const auto known = ledger_->file(changes.file);
    FileRewrite* file = known ? file_of(files, changes.collection, *known) : nullptr;
    if (file == nullptr) {
      reject_all(*mapping_, changes.changes,
                 (known ? known->path : "its file") + " was changed behind the fence", rejects);
      continue;
    }
    auto moved = file->put(changes, rejects);
    if (!moved) continue;
    FileRewrite* to = new_file(files, changes.collection, moved->path);
    if (to != nullptr) to->insert(std::move(moved->text), moved->record, false);
  }
  for (auto& [place, file] : files) stage(place, file);
  journal_.sync_staged();
}

void FilesSink::stage(const FilePlace& place, FileRewrite& file) {
  const Collection& collection = documents_->collections[place.first];
  const auto known = ledger_->file(place.first, place.second);
  FileWrite write;
  write.root = collection.root;
  write.path = place.second;
  if (known) write.before = known->bytes;
  const auto bytes = file.finish();
  if (bytes) write.after = hash_of(*bytes);
  if (write.before == write.after) return;
  if (bytes) {
    journal_.stage(write, *bytes,
                   known ? std::optional(collection.root / place.second) : std::nullopt);
  }
  if (!collection.keep_copy.empty() && bytes) {
    FileWrite copy = write;
    copy.path = collection.keep_copy;
    if (const auto at = copy.path.find("{path}"); at != std::string::npos) {
      copy.path.replace(at, 6, place.second);
    }
    copy.any_before = true;
    std::error_code code;
    const auto there = collection.root / copy.path;
    journal_.stage(copy, *bytes,
                   std::filesystem::exists(there, code) ? std::optional(there) : std::nullopt);
    writes_.push_back(std::move(copy));
  }
  writes_.push_back(std::move(write));
}

void FilesSink::commit(const Position& position, std::span<const Reject> rejects) {
  if (!write_) begin();
  for (const auto& [table, key] : keys_) ledger_->remove_quarantine(table, key);
  for (const Reject& reject : rejects) {
    ledger_->put_quarantine(table_name(reject.table), reject.key, reject.reason);
  }
  journal_.intend(writes_);
  ledger_->put_applied(position);
  write_->make_durable();
  rollback();  // nothing is left of it but the intent
  finish_intended();
}

}  // namespace

std::unique_ptr<ChangeSink> open_files_sink(std::shared_ptr<const Mapping> mapping,
                                            std::shared_ptr<const DocumentMap> documents,
                                            std::filesystem::path ledger) {
  return std::make_unique<FilesSink>(std::move(mapping), std::move(documents), ledger);
}

}  // namespace switchback
