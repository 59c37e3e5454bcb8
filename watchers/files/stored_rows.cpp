#include "watchers/files/stored_rows.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "state/base/error.h"
#include "state/model/copy_change.h"
#include "watchers/files/large_file.h"
#include "watchers/files/row_key.h"

namespace switchback {
namespace {

UniqueFd open_again(const std::filesystem::path& root, std::string_view path) {
  const UniqueFd folder = open_folder_of(root, path, FolderUse::kLook);
  if (!folder) return {};
  const std::string name(path);
  return UniqueFd(
      ::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

/// Fewer bytes than asked for: the file ends before.
std::string read_part(int fd, std::size_t begin, std::size_t size) {
  std::string out(size, '\0');
  std::size_t length = 0;
  while (length < size) {
    const ssize_t n =
        ::pread(fd, out.data() + length, size - length, static_cast<off_t>(begin + length));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    length += static_cast<std::size_t>(n);
  }
  out.resize(length);
  return out;
}

}  // namespace

bool StoredRows::load(std::int64_t id) {
  const auto known = ledger_.file(id);
  if (!known) return false;
  const Collection& collection = scan_.collection(known->collection);
  const auto stamp = stamp_of(collection.root, known->path);
  if (!stamp) return false;
  if (loaded_ && loaded_->known.id == id && loaded_->known.bytes == known->bytes &&
      *stamp == loaded_->file.stamp) {
    return true;
  }
  loaded_.reset();
  const LargeFileTurn turn(stamp->size);
  ReadResult read = read_store_file(collection.root, known->path);
  if (read.outcome != ReadOutcome::kRead || hash_of(read.file.bytes) != known->bytes) return false;
  auto loaded = std::make_unique<Loaded>();
  loaded->known = *known;
  loaded->file = std::move(read.file);
  loaded->inputs = std::make_unique<RecordInputs>(collection, known->path, loaded->file);
  const auto entries = ledger_.records(id);
  loaded->at.reserve(entries.size());
  for (std::uint32_t i = 0; i < entries.size(); ++i) loaded->at.emplace_back(entries[i].id, i);
  std::sort(loaded->at.begin(), loaded->at.end());
  loaded_ = std::move(loaded);
  keep_outside(collection.root, entries);
  return true;
}

void StoredRows::keep_outside(const std::filesystem::path& root,
                              const std::vector<RecordEntry>& entries) {
  const bool opaque = loaded_->inputs->records().frame == FileRecords::Frame::kOpaque;
  if (opaque || loaded_->file.stamp.size <= kLargeFile) return;
  loaded_->fd = open_again(root, loaded_->known.path);
  if (!loaded_->fd) return;
  loaded_->hashes.reserve(entries.size());
  for (const RecordEntry& entry : entries) loaded_->hashes.push_back(entry.bytes);
  std::string().swap(loaded_->file.bytes);
}

// Whatever became of the file since, what is given is the record that the ledger knows.
const RecordInput* StoredRows::input(std::size_t i, std::int64_t place) {
  RecordInputs& inputs = *loaded_->inputs;
  if (!loaded_->fd) return &inputs.at(i, place);
  const RecordSpan& span = inputs.records().records[i];
  const std::size_t begin = inputs.records().begin_of(i);
  loaded_->record = read_part(loaded_->fd.get(), begin, span.end - begin);
  const std::string_view read = loaded_->record;
  if (read.size() != span.end - begin || hash_of(read) != loaded_->hashes[i]) return nullptr;
  return &inputs.at_outside(i, place, read);
}

bool StoredRows::rows_of(std::uint64_t record, const Give& give) {
  const auto at =
      std::lower_bound(loaded_->at.begin(), loaded_->at.end(), std::pair(record, std::uint32_t{0}));
  if (at == loaded_->at.end() || at->first != record) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "the ledger has a record in no file");
  }
  const KnownRecord known = ledger_.record(record);
  const RecordInput* const now = input(at->second, known.place);
  if (now == nullptr) {
    loaded_.reset();
    return false;
  }
  NoNewIdentities none;
  Chunk rows;
  scan_.lens(loaded_->known.collection).get(*now, &known.memory, none, rows);
  for (const Change& change : rows.changes()) give(rows, change);
  return true;
}

std::string StoredRows::rivalry(TableId table, std::string_view key) const {
  const auto rivals = ledger_.rivals(table, key);
  if (rivals.empty()) return "";
  std::string where;
  auto all = rivals;
  if (const auto owner = ledger_.owner(table, key)) all.insert(all.begin(), *owner);
  for (const auto& one : all) {
    const auto file = ledger_.file(one.file);
    const auto entries = ledger_.records(one.file);
    const auto at = std::find_if(entries.begin(), entries.end(),
                                 [&](const RecordEntry& e) { return e.id == one.record; });
    where += fmt::format("{}record {} of {}", where.empty() ? "" : ", ", at - entries.begin() + 1,
                         file ? file->path : "");
  }
  return "more than one record has this key: " + where;
}

std::vector<DirtyKey> StoredRows::read_some(const std::vector<DirtyKey>& keys, RankedBatch& out,
                                            bool by_ledger) {
  std::map<std::int64_t, std::map<std::uint64_t, std::set<LedgerKey>>> wanted;
  std::vector<DirtyKey> left;
  for (const DirtyKey& dirty : keys) {
    const auto owner = ledger_.owner(dirty.table, dirty.key);
    std::string trouble = rivalry(dirty.table, dirty.key);
    if (!owner && dirty.key == no_key(mapping_->table(dirty.table).key_width)) {
      trouble = ledger_.keyless(dirty.table);
    }
    if (!trouble.empty()) {
      out.add_misfit(dirty.table, dirty.key, trouble);
    } else if (owner) {
      wanted[owner->file][owner->record].insert({dirty.table, dirty.key});
    } else if (by_ledger) {
      left.push_back(dirty);
    } else {
      out.add_delete(dirty.table, dirty.key);
    }
  }
  for (const auto& [file, records] : wanted) {
    bool readable = load(file);
    for (const auto& [record, rows] : records) {
      readable =
          readable && rows_of(record, [&, &rows = rows](const Chunk& chunk, const Change& change) {
            const std::uint16_t width = mapping_->table(change.table).key_width;
            if (rows.contains({change.table, key_bytes(chunk, change, width)}))
              out.add(chunk, change);
          });
      if (readable) continue;
      for (const auto& [table, key] : rows) left.push_back({table, key});
    }
  }
  return left;
}

bool StoredRows::fills(std::int64_t id, TableId table) {
  const auto file = ledger_.file(id);
  if (!file) return false;
  const auto& tables = scan_.collection(file->collection).tables;
  return std::any_of(tables.begin(), tables.end(),
                     [&](const TableSource& source) { return source.table == table; });
}

bool StoredRows::append(const FilesLedger::RecordHome& home, TableId table, Chunk& rows) {
  if (!load(home.file)) return false;
  const std::uint16_t width = mapping_->table(table).key_width;
  return rows_of(home.record, [&](const Chunk& chunk, const Change& change) {
    if (change.table != table) return;
    const std::string key = key_bytes(chunk, change, width);
    const auto owner = ledger_.owner(table, key);
    // Another record's claim to the key is told with that key.
    if (!owner || owner->record != home.record) return;
    const std::string trouble = rivalry(table, key);
    if (trouble.empty()) return copy_change(chunk, change, width, rows);
    add_cells(key, rows);
    rows.end_misfit(table, trouble);
  });
}

}  // namespace switchback
