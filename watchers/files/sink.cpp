#include "watchers/files/sink.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "state/base/error.h"
#include "watchers/files/file_rewrite.h"
#include "watchers/files/journal.h"
#include "watchers/files/record_path.h"
#include "watchers/files/row_key.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

// Files that are tried for how new ones should look; all but a few can be read.
constexpr std::size_t kKinLookedAt = 16;
constexpr const char* kChangedBehind = " was changed behind the fence";
constexpr const char* kTaken = ": another record has this file to itself";

class FilesSink final : public ChangeSink {
 public:
  FilesSink(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
            const std::filesystem::path& ledger)
      : mapping_(std::move(mapping)),
        documents_(std::move(documents)),
        ledger_(FilesLedger::open(ledger, false)),
        scan_(mapping_, documents_, *ledger_),
        journal_(*ledger_),
        spool_folder_(ledger.parent_path()) {}
  ~FilesSink() override { rollback(); }

  Position applied() override {
    recover();
    return ledger_->applied();
  }
  void apply(const Chunk& chunk, std::vector<Reject>& rejects) override {
    if (!write_) begin();
    note_keys(chunk);
    targets_->add(chunk, rejects);
    if (!chunk.boundary) return;
    targets_->settle(rejects);
    rewrite(rejects);
  }
  void commit(const Position& position, std::span<const Reject> rejects) override;
  void rollback() noexcept override {
    write_.reset();
    targets_.reset();
    journal_.discard();
    writes_.clear();
    keys_.clear();
    kin_.clear();
    fences_.reset();
  }
  Position durable() override { return ledger_->applied(); }
  std::uint64_t quarantined() override { return ledger_->quarantined(); }

 private:
  using Rewrites = std::map<FilePlace, FileRewrite>;

  /// What a record that is born takes after.
  struct Kin {
    bool in_map = false;
    TextStyle style;
    std::optional<fs::path> file;
  };
  /// A record that goes into another file.
  struct Move {
    const RecordChanges* changes;
    FileRewrite *from, *to;
    FileRewrite::Moved moved;
  };

  void recover();
  void begin();
  void note_keys(const Chunk& chunk);
  void rewrite(std::vector<Reject>& rejects);
  std::optional<Move> put(Rewrites& files, const RecordChanges& changes,
                          std::vector<Reject>& rejects);
  void carry(std::vector<Move> moves, std::vector<Reject>& rejects);
  void add_born(Rewrites& files, const RecordChanges& changes, std::vector<Reject>& rejects);
  FileRewrite* known_file(Rewrites& files, std::uint16_t collection, const KnownFile& known);
  FileRewrite* file_at(Rewrites& files, std::uint16_t collection, const std::string& path,
                       std::string& why_not);
  const Kin& kin(std::uint16_t collection);
  Kin find_kin(std::uint16_t collection) const;
  bool at_start(std::uint16_t collection) const;
  void replace(std::uint16_t collection, const FileWrite& write,
               const std::optional<std::string>& bytes);
  void stage(FileWrite write, const std::optional<std::string>& bytes, const NewFileLooks& looks);
  NewFileLooks looks_like(std::uint16_t collection);
  const std::map<std::string, mode_t>& fences();
  bool is_fenced(const Collection& collection);
  bool is_closed(const Collection& collection) const;
  void fence_new(const FileWrite& write, const NewFileLooks& looks);
  void tell_others(const FileWrite& write);
  void refuse_left_behind(Rewrites& files, std::vector<Reject>& rejects) const;
  void reject_all(const Chunk& changes, const std::string& reason,
                  std::vector<Reject>& rejects) const;
  std::string table_name(TableId table) const { return qualified_name(mapping_->table(table)); }

  const std::shared_ptr<const Mapping> mapping_;
  const std::shared_ptr<const DocumentMap> documents_;
  const std::unique_ptr<FilesLedger> ledger_;
  FileScan scan_;
  FileJournal journal_;
  const fs::path spool_folder_;
  bool recovered_ = false;

  // Of the batch under way.
  std::optional<LedgerWrite> write_;
  std::optional<RecordTargets> targets_;
  std::vector<FileWrite> writes_;
  std::vector<std::pair<std::string, std::string>> keys_;  // touched: their quarantine ends
  std::map<std::uint16_t, Kin> kin_;
  std::optional<std::map<std::string, mode_t>> fences_;  // as they were before it
};

// A crash may have left files half replaced: before anything else is read or written.
void FilesSink::recover() {
  if (recovered_ || write_) return;
  LedgerWrite write(*ledger_);
  journal_.replay_inside();
  for (const Collection& collection : documents_->collections) remove_leftovers(collection.root);
  if (is_closed(documents_->collections.front())) raise_folders(*ledger_);
  write.make_durable();
  recovered_ = true;
}

void FilesSink::begin() {
  recover();
  write_.emplace(*ledger_);
  targets_.emplace(*mapping_, *documents_, scan_, *ledger_);
}

void FilesSink::note_keys(const Chunk& chunk) {
  if (!ledger_->has_quarantine()) return;
  for (const Change& change : chunk.changes()) {
    if (change.op == Op::kTruncate) continue;
    const std::uint16_t width = mapping_->table(change.table).key_width;
    keys_.emplace_back(table_name(change.table), key_text(chunk, chunk.row(change).first(width)));
  }
}

void FilesSink::reject_all(const Chunk& changes, const std::string& reason,
                           std::vector<Reject>& rejects) const {
  std::vector<RecordText::Refused> refused;
  for (std::uint32_t i = 0; i < changes.changes().size(); ++i) refused.push_back({i, reason});
  add_refused(*mapping_, changes, refused, rejects);
}

// ---- which file

// nullptr: the file is not as the ledger knows it.
FileRewrite* FilesSink::known_file(Rewrites& files, std::uint16_t collection,
                                   const KnownFile& known) {
  const FilePlace place{collection, known.path};
  if (const auto found = files.find(place); found != files.end()) return &found->second;
  ReadResult read = read_store_file(scan_.collection(collection).root, known.path);
  if (read.outcome != ReadOutcome::kRead || hash_of(read.file.bytes) != known.bytes) return nullptr;
  return &files.try_emplace(place, *mapping_, scan_, *ledger_, place, known, std::move(read.file))
              .first->second;
}

// nullptr: it cannot be written to, for the reason given.
FileRewrite* FilesSink::file_at(Rewrites& files, std::uint16_t collection, const std::string& path,
                                std::string& why_not) {
  const FilePlace place{collection, path};
  if (const auto known = ledger_->file(collection, path)) {
    FileRewrite* file = known_file(files, collection, *known);
    if (file == nullptr) why_not = path + kChangedBehind;
    return file;
  }
  if (const auto found = files.find(place); found != files.end()) return &found->second;
  const fs::path& root = scan_.collection(collection).root;
  if (holds_link(root, path)) {
    why_not = path + ": a symbolic link is on the way, and links are never followed";
    return nullptr;
  }
  if (read_store_file(root, path).outcome != ReadOutcome::kAbsent) {
    why_not = path + " is there already, and the bridge does not know it";
    return nullptr;
  }
  return &files.try_emplace(place, *mapping_, scan_, *ledger_, place, std::nullopt, FileBytes{})
              .first->second;
}

FilesSink::Kin FilesSink::find_kin(std::uint16_t number) const {
  const Collection& collection = scan_.collection(number);
  Kin kin{names_records(*mapping_, collection), TextStyle::of({}, collection.ascii), {}};
  for (const KnownFile& file : ledger_->some_files(number, kKinLookedAt)) {
    const ReadResult read = read_store_file(collection.root, file.path);
    if (read.outcome != ReadOutcome::kRead || hash_of(read.file.bytes) != file.bytes) continue;
    kin.style = TextStyle::of(read.file.bytes, collection.ascii);
    kin.file = collection.root / file.path;
    const auto frame = divide(read.file.bytes, collection.records, file.path).frame;
    if (frame == FileRecords::Frame::kMap) kin.in_map = true;
    if (frame == FileRecords::Frame::kArray) kin.in_map = false;
    return kin;
  }
  return kin;
}

const FilesSink::Kin& FilesSink::kin(std::uint16_t collection) {
  const auto [at, missing] = kin_.try_emplace(collection);
  if (missing) at->second = find_kin(collection);
  return at->second;
}

bool FilesSink::at_start(std::uint16_t collection) const {
  for (const TableSource& table : scan_.collection(collection).tables) {
    if (table.level == 0) return table.at_start;
  }
  return false;
}

// ---- records

void FilesSink::add_born(Rewrites& files, const RecordChanges& changes,
                         std::vector<Reject>& rejects) {
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < changes.changes.changes().size(); ++i) all.push_back(i);
  const Kin& like = kin(changes.collection);
  RecordText text =
      scan_.lens(changes.collection).make({}, like.in_map, changes.changes, all, like.style);
  if (text.gone || text.refused.size() == all.size()) {
    return add_refused(*mapping_, changes.changes, text.refused, rejects);
  }
  const MadePath made = record_path(scan_.collection(changes.collection), text, {});
  std::string why_not = made.reason;
  FileRewrite* file =
      made.path.empty() ? nullptr : file_at(files, changes.collection, made.path, why_not);
  if (file != nullptr && !file->has_room()) {
    return reject_all(changes.changes, made.path + kTaken, rejects);
  }
  if (file == nullptr) return reject_all(changes.changes, why_not, rejects);
  add_refused(*mapping_, changes.changes, text.refused, rejects);
  file->insert(std::move(text), 0, at_start(changes.collection));
}

std::optional<FilesSink::Move> FilesSink::put(Rewrites& files, const RecordChanges& changes,
                                              std::vector<Reject>& rejects) {
  const auto known = ledger_->file(changes.file);
  FileRewrite* file = known ? known_file(files, changes.collection, *known) : nullptr;
  if (file == nullptr) {
    reject_all(changes.changes, (known ? known->path : "its file") + kChangedBehind, rejects);
    return std::nullopt;
  }
  auto moved = file->put(changes, rejects);
  if (!moved) return std::nullopt;
  std::string why_not = moved->to.reason;
  FileRewrite* to = moved->to.path.empty()
                        ? nullptr
                        : file_at(files, changes.collection, moved->to.path, why_not);
  if (to == nullptr) {
    reject_all(changes.changes, why_not, rejects);
    return std::nullopt;
  }
  return Move{&changes, file, to, std::move(*moved)};
}

// One may go where another leaves.
void FilesSink::carry(std::vector<Move> moves, std::vector<Reject>& rejects) {
  const auto carry_one = [&](Move& move) {
    add_refused(*mapping_, move.changes->changes, move.moved.text.refused, rejects);
    move.from->take_out(move.changes->record);
    move.to->insert(std::move(move.moved.text), move.changes->record,
                    at_start(move.changes->collection));
  };
  for (std::size_t before = moves.size() + 1; moves.size() < before;) {
    before = moves.size();
    std::vector<Move> left;
    for (Move& move : moves) {
      if (move.to->has_room()) {
        carry_one(move);
      } else {
        left.push_back(std::move(move));
      }
    }
    moves = std::move(left);
  }
  for (const Move& move : moves) {
    reject_all(move.changes->changes, move.moved.to.path + kTaken, rejects);
  }
}

void FilesSink::rewrite(std::vector<Reject>& rejects) {
  Rewrites files;
  std::vector<Move> moves;
  for (const RecordChanges& changes : targets_->records()) {
    if (changes.record == 0) continue;
    if (auto move = put(files, changes, rejects)) moves.push_back(std::move(*move));
  }
  carry(std::move(moves), rejects);
  for (const RecordChanges& changes : targets_->records()) {
    if (changes.record == 0) add_born(files, changes, rejects);
  }
  // Collections may share a file: each edits what the one before it left.
  std::map<fs::path, std::vector<Rewrites::value_type*>> shared;
  for (auto& file : files) {
    const fs::path& root = scan_.collection(file.first.first).root;
    shared[(root / file.first.second).lexically_normal()].push_back(&file);
  }
  for (auto& [path, parts] : shared) {
    auto& [place, first] = *parts.front();
    FileWrite write;
    write.root = scan_.collection(place.first).root;
    write.path = place.second;
    if (first.known()) write.before = first.known()->bytes;
    std::optional<std::string> bytes = first.finish(first.take_current(), spool_folder_);
    for (std::size_t i = 1; i < parts.size(); ++i) {
      bytes = parts[i]->second.finish(std::move(bytes).value_or(""), spool_folder_);
    }
    if (bytes) write.after = hash_of(*bytes);
    replace(place.first, write, bytes);
  }
  refuse_left_behind(files, rejects);
  journal_.sync_staged();
}

// Rows that went with what enclosed them, and nobody has deleted: PostgreSQL has no foreign key
// there, or an element has moved to another record and left them. They are to be read again; those
// that PostgreSQL never had, since it could not take them, are gone then.
void FilesSink::refuse_left_behind(Rewrites& files, std::vector<Reject>& rejects) const {
  std::set<LedgerKey> left;
  for (auto& [place, file] : files) left.merge(file.take_vanished());
  if (left.empty()) return;
  targets_->erase_deleted(left);
  std::erase_if(left, [&](const LedgerKey& row) {
    return ledger_->owner(row.first, row.second).has_value();
  });
  std::set<std::pair<TableId, std::string>> told;
  for (const Reject& reject : rejects) told.emplace(reject.table, reject.key);
  for (const auto& [table, key] : left) {
    Chunk chunk;
    add_cells(key, chunk);
    chunk.end_delete(table);
    const std::string name = key_text(chunk, chunk.row(chunk.changes().front()));
    if (told.contains({table, name})) continue;
    rejects.push_back(
        {table, name,
         fmt::format("{}: the row it refers to was deleted or moved", kNoRecordEncloses),
         std::string(kForeignKeyViolation)});
  }
}

// ---- files

const std::map<std::string, mode_t>& FilesSink::fences() {
  if (!fences_) fences_ = ledger_->fences();
  return *fences_;
}

// Mode and owner of the file it takes after, as they are without the fence.
NewFileLooks FilesSink::looks_like(std::uint16_t collection) {
  NewFileLooks looks;
  struct stat like {};
  const auto& sibling = kin(collection).file;
  if (!sibling || ::lstat(sibling->c_str(), &like) != 0) return looks;
  looks.mode = like.st_mode & 07777;
  looks.owner.emplace(like.st_uid, like.st_gid);
  if (const auto fence = fences().find(sibling->string()); fence != fences().end()) {
    looks.mode = fence->second;
  }
  return looks;
}

// A store that was empty when its gate closed had nothing to fence.
bool FilesSink::is_fenced(const Collection& collection) {
  return !fences().empty() || is_closed(collection);
}

bool FilesSink::is_closed(const Collection& collection) const {
  const auto gate = ledger_->gate(mapping_->table(collection.tables.front().table).group);
  return gate && gate->door == GateState::Door::kClosed;
}

// A file or folder that is made while the store is fenced is fenced too.
void FilesSink::fence_new(const FileWrite& write, const NewFileLooks& looks) {
  ledger_->put_fence((write.root / write.path).string(), looks.mode);
  const auto around = fences().find(write.root.string());
  for (fs::path folder = fs::path(write.path).parent_path(); !folder.empty();
       folder = folder.parent_path()) {
    ledger_->put_fence((write.root / folder).string(),
                       around == fences().end() ? 0755 : around->second);
  }
}

// Other collections may know the file too.
void FilesSink::tell_others(const FileWrite& write) {
  const fs::path path = (write.root / write.path).lexically_normal();
  for (std::uint16_t number = 0; number < documents_->collections.size(); ++number) {
    const fs::path root = scan_.collection(number).root.lexically_normal();
    auto known = ledger_->file(number, path.lexically_relative(root).string());
    if (!known || known->bytes == *write.after) continue;
    known->bytes = *write.after;
    known->stamp = {.device = known->stamp.device};
    ledger_->put_file(*known);
  }
}

void FilesSink::stage(FileWrite write, const std::optional<std::string>& bytes,
                      const NewFileLooks& looks) {
  if (bytes) journal_.stage(write, *bytes, looks);
  writes_.push_back(std::move(write));
}

void FilesSink::replace(std::uint16_t number, const FileWrite& write,
                        const std::optional<std::string>& bytes) {
  if (write.before == write.after) return;
  const Collection& collection = scan_.collection(number);
  const bool fenced = !write.before && is_fenced(collection);
  const NewFileLooks born = write.before ? NewFileLooks() : looks_like(number);
  NewFileLooks looks = born;
  if (fenced) {
    fence_new(write, born);
    looks.mode &= ~static_cast<mode_t>(0222);
  }
  if (bytes) tell_others(write);
  if (!collection.keep_copy.empty()) {
    FileWrite copy = write;
    copy.path = beside(collection.keep_copy, write.path);
    copy.any_before = true;
    if (fenced) fence_new(copy, born);
    stage(std::move(copy), bytes, looks);
  }
  stage(write, bytes, looks);
}

void FilesSink::commit(const Position& position, std::span<const Reject> rejects) {
  if (!write_) begin();
  for (const auto& [table, key] : keys_) ledger_->remove_quarantine(table, key);
  for (const Reject& reject : rejects) {
    ledger_->put_quarantine(table_name(reject.table), reject.key, reject.reason, reject.accepted);
  }
  ledger_->put_applied(position);
  // From here on the outcome may be unknown, so what is staged stays: whoever recovers knows.
  journal_.intend(writes_);
  recovered_ = false;
  write_->make_durable();
  // In the same turn: nobody reads files that are half replaced.
  write_->begin_again();
  journal_.replay_inside();
  write_->make_durable();
  rollback();
  recovered_ = true;
}

}  // namespace

std::unique_ptr<ChangeSink> open_files_sink(std::shared_ptr<const Mapping> mapping,
                                            std::shared_ptr<const DocumentMap> documents,
                                            std::filesystem::path ledger) {
  return std::make_unique<FilesSink>(std::move(mapping), std::move(documents), ledger);
}

}  // namespace switchback
