#include "watchers/files/scan.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <utility>

#include "watchers/files/file_read.h"
#include "watchers/files/journal.h"
#include "watchers/files/large_file.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

// A kernel's clock for stamps ticks every few milliseconds: a write within one tick of the last may
// leave the stamp as it was. A stamp this fresh is not to be relied on.
constexpr std::chrono::milliseconds kTick{20};
// No application takes longer between the first and the last byte of a file that it writes anew.
constexpr std::chrono::milliseconds kRewriting{1'000};

[[noreturn]] void fail(const fs::path& path, const std::error_code& code) {
  throw Error(ErrorKind::kDisk, Retry::kLater, "a folder cannot be read: " + code.message(),
              {.object = path.string()});
}

// Of the folder that the file was in, or of the nearest around it that is there; 0: not known.
std::uint64_t device_around(const fs::path& root, const std::string& path) {
  struct stat found {};
  fs::path folder = (root / path).parent_path();
  while (::stat(folder.c_str(), &found) != 0 && folder != root) folder = folder.parent_path();
  return found.st_dev;
}

bool may_hold_files(const Collection& collection, const std::string& folder) {
  return std::any_of(collection.files.begin(), collection.files.end(),
                     [&](const FilePattern& pattern) { return may_hold_matches(pattern, folder); });
}

// `visit(path, whether it is a folder)` for what is in the folder and below, where a file of the
// collection may be.
template <class Visit>
void walk(const Collection& collection, const std::string& below, Visit visit) {
  const fs::path folder = collection.root / below;
  std::error_code code;
  fs::directory_iterator entry(folder, code);
  if (code == std::errc::no_such_file_or_directory || code == std::errc::not_a_directory) return;
  if (code) fail(folder, code);
  for (; entry != fs::directory_iterator(); entry.increment(code)) {
    if (code) fail(folder, code);
    const std::string name = entry->path().filename().string();
    const std::string path = below.empty() ? name : below + "/" + name;
    std::error_code ignored;  // gone again: the next look knows
    // What the folder says of it spares a call for each file. Links are never followed.
    if (entry->is_symlink(ignored)) continue;
    const bool folder_itself = entry->is_directory(ignored);
    if (folder_itself ? !may_hold_files(collection, path) : !entry->is_regular_file(ignored)) {
      continue;
    }
    visit(path, folder_itself);
    if (folder_itself) walk(collection, path, visit);
  }
}

/// Whether a byte of one file could be part of a record of both.
bool overlap(const RecordsLayout& one, const RecordsLayout& other) {
  constexpr auto kEach = RecordsLayout::Form::kEach;
  if (one.form != kEach || other.form != kEach) return true;
  const auto differ =
      std::mismatch(one.path.begin(), one.path.end(), other.path.begin(), other.path.end());
  return differ.first == one.path.end() || differ.second == other.path.end();
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Since it was last changed; a clock that was put back makes no file young.
bool younger_than(std::chrono::nanoseconds age, const FileStamp& stamp) {
  return std::abs(now_ns() - std::max(stamp.mtime_ns, stamp.ctime_ns)) < age.count();
}

}  // namespace

bool takes_file(const Collection& collection, const std::string& path) {
  if (path.substr(path.rfind('/') + 1).starts_with(kTemporaryPrefix)) return false;
  const auto match = [&](const FilePattern& pattern) {
    return match_path(pattern, path).has_value();
  };
  return std::any_of(collection.files.begin(), collection.files.end(), match) &&
         std::none_of(collection.except.begin(), collection.except.end(), match);
}

std::string beside(const std::string& pattern, const std::string& path) {
  std::string out = pattern;
  if (const auto at = out.find("{path}"); at != std::string::npos) out.replace(at, 6, path);
  return out;
}

std::vector<std::string> list_files(const Collection& collection) {
  std::vector<std::string> paths;
  walk(collection, "", [&](const std::string& path, bool is_folder) {
    if (!is_folder && takes_file(collection, path)) paths.push_back(path);
  });
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<std::string> list_folders(const Collection& collection) {
  std::vector<std::string> paths{""};
  walk(collection, "", [&](const std::string& path, bool is_folder) {
    if (is_folder) paths.push_back(path);
  });
  return paths;
}

FileScan::FileScan(std::shared_ptr<const Mapping> mapping,
                   std::shared_ptr<const DocumentMap> documents, FilesLedger& ledger)
    : mapping_(std::move(mapping)), documents_(std::move(documents)), ledger_(ledger) {
  for (std::uint16_t i = 0; i < documents_->collections.size(); ++i) {
    lenses_.emplace_back(mapping_, documents_, i);
  }
}

// Kept between looks, since most of them find nothing.
const std::map<FilePlace, KnownFile>& FileScan::known_files() {
  const auto version = ledger_.version();
  if (version == known_at_) return known_;
  known_.clear();
  for (KnownFile& file : ledger_.files()) {
    const FilePlace place{file.collection, file.path};
    known_.emplace(place, std::move(file));
  }
  holds_back_ = !ledger_.held().empty();
  known_at_ = version;
  return known_;
}

bool FileScan::is_as_known(const FilePlace& place, const KnownFile& file,
                           const std::optional<FileStamp>& now) const {
  if (now == std::optional(file.stamp)) return true;
  const auto seen = seen_equal_.find(place);
  return now && seen != seen_equal_.end() && seen->second == std::pair(*now, file.bytes);
}

std::vector<FileScan::Candidate> FileScan::candidates(Look look) {
  const auto& known = known_files();
  std::vector<Candidate> found;
  std::set<FilePlace> there;
  for (std::uint16_t number = 0; number < documents_->collections.size(); ++number) {
    const Collection& collection = documents_->collections[number];
    FileStamps stamps(collection.root);
    for (std::string& path : list_files(collection)) {
      const FilePlace place{number, path};
      const auto file = known.find(place);
      there.insert(place);
      if (file == known.end()) {
        KnownFile born;
        born.collection = number;
        born.path = std::move(path);
        found.push_back({std::move(born), true});
      } else if (look == Look::kContents || !is_as_known(place, file->second, stamps.of(path))) {
        found.push_back({file->second, true});
      }
    }
  }
  // Last, when it is known whether their records turned up elsewhere.
  for (const auto& [place, file] : known) {
    if (!there.contains(place)) found.push_back({file, false});
  }
  return found;
}

const Collection* FileScan::rival(const FilePlace& place) const {
  const Collection& of = collection(place.first);
  for (const Collection& other : documents_->collections) {
    if (&other == &of || !overlap(of.records, other.records)) continue;
    const fs::path below = (of.root / place.second).lexically_relative(other.root);
    if (below.empty() || *below.begin() == "..") continue;
    if (takes_file(other, below.string())) return &other;
  }
  return nullptr;
}

// One that is written to all the time is always young: it is not waited for any longer than others.
bool FileScan::may_be_unfinished(const FilePlace& place, const FileBytes& file) const {
  const auto since = unfinished_since_.find(place);
  if (since != unfinished_since_.end() && Deadline::Clock::now() - since->second > kRewriting) {
    return false;
  }
  return younger_than(kRewriting, file.stamp);
}

// By what was known as this look began: asked anew, the ledger tells what may yet be undone.
bool FileScan::has_one_as_it_was(std::uint16_t number, std::uint64_t device) const {
  for (auto at = known_.lower_bound({number, ""}); at != known_.end(); ++at) {
    const auto& [place, file] = *at;
    if (place.first != number) break;
    if (file.stamp.device != device) continue;
    const ReadResult read = read_store_file(collection(number).root, place.second);
    if (read.outcome == ReadOutcome::kRead && hash_of(read.file.bytes) == file.bytes) return true;
  }
  return false;
}

// Where a disk is not mounted there may be a folder all the same, and what an application has begun
// to write there. A reboot may change a disk's number, so that it alone says nothing: the disk is
// there if one of the files that it had is as it was.
void FileScan::refuse_another_disk(const KnownFile& known, Round& round) {
  const Collection& of = collection(known.collection);
  const std::uint64_t before = known.stamp.device, now = device_around(of.root, known.path);
  if (now == 0 || before == 0 || now == before) return;
  const auto [there, fresh] = round.disks_there.try_emplace({known.collection, before}, false);
  if (fresh) there->second = has_one_as_it_was(known.collection, before);
  if (there->second) return;
  throw Error(ErrorKind::kRefused, Retry::kLater,
              "its folder is on another disk than it was, with no file as it was there: held, "
              "nothing was deleted",
              {.object = known.path,
               .next = "mount the disk, or let it through with `switchback quarantine accept`"});
}

void FileScan::take(const Candidate& candidate, Round& round, MassDelete mass) {
  const FilePlace place{candidate.known.collection, candidate.known.path};
  const Collection& of = collection(place.first);
  const auto unreadable = [&](std::string why, bool held) {
    if (held) round.held[place] = why;
    round.result.unreadable.push_back({(of.root / place.second).string(), std::move(why), held});
  };
  const auto look_again = [&] {
    round.result.unstable = round.result.untaken = true;
    round.unstable.insert(place);
  };
  if (const Collection* other = candidate.there ? rival(place) : nullptr) {
    return unreadable("the collections " + of.name + " and " + other->name +
                          " take the same records of it: `except` it from one of them",
                      false);
  }
  try {
    const auto stamp = stamp_of(of.root, place.second);
    const LargeFileTurn turn(stamp ? stamp->size : 0);
    ReadResult read = read_store_file(of.root, place.second);
    // Anew: another file of this look may have made it doubtful.
    KnownFile known = ledger_.file(place.first, place.second).value_or(candidate.known);
    FileDiff diff(*mapping_, lenses_[known.collection], ledger_, round.give, mass);
    DiffOutcome outcome;
    switch (read.outcome) {
      case ReadOutcome::kUnstable:
        return look_again();
      case ReadOutcome::kRefused:
        return unreadable("it is a symbolic link or no regular file, which is never followed",
                          false);
      case ReadOutcome::kAbsent:
        if (known.id == 0) return;
        require_root(of.root);
        if (mass == MassDelete::kHold) refuse_another_disk(known, round);
        outcome = diff.remove(known);
        break;
      case ReadOutcome::kRead: {
        const bool fresh = younger_than(kTick, read.file.stamp);
        const bool same = known.id != 0 && known.bytes == hash_of(read.file.bytes);
        if (fresh) {
          read.file.stamp.inode = 0;
          round.result.unstable = true;
        }
        if (same) {
          unfinished_since_.erase(place);
          if (!fresh) seen_equal_[place] = {read.file.stamp, known.bytes};
          if (!(known.stamp == read.file.stamp)) {
            known.stamp = read.file.stamp;
            ledger_.put_file(known);
          }
          return;
        }
        outcome = diff.take(std::move(known), read.file, may_be_unfinished(place, read.file));
        break;
      }
    }
    if (outcome.unfinished) {
      unfinished_since_.try_emplace(place, Deadline::Clock::now());
      return look_again();
    }
    unfinished_since_.erase(place);
    round.result.contested = round.result.contested || outcome.contested;
    round.again.merge(outcome.again);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData && error.kind() != ErrorKind::kRefused) throw;
    unreadable(error.message(), error.kind() == ErrorKind::kRefused);
  }
}

// A key that became free may be claimed by a record looked at earlier. Each round frees claims for
// good, so there are no more rounds than records.
void FileScan::take_again(Round& round) {
  while (!round.again.empty()) {
    round.result.contested = true;
    for (const std::int64_t id : std::exchange(round.again, {})) {
      if (const auto file = ledger_.file(id)) take({*file, true}, round);
    }
  }
}

// A file that is held is unlike the ledger, so every look meets it: what this one did not hold is
// held no longer.
void FileScan::note_held(const Round& round) {
  for (const HeldFile& file : ledger_.held()) {
    const FilePlace place{file.collection, file.path};
    if (round.held.contains(place) || round.unstable.contains(place)) continue;
    ledger_.remove_held(file.collection, file.path);
  }
  for (const auto& [place, why] : round.held) ledger_.put_held(place.first, place.second, why);
}

void FileScan::let_through(const FilePlace& place) {
  LedgerWrite write(ledger_);
  FileJournal(ledger_).replay_inside();
  const auto known = ledger_.file(place.first, place.second);
  if (!known) return;
  Round round;
  take({*known, true}, round, MassDelete::kTake);
  const std::string path = (collection(place.first).root / place.second).string();
  if (!round.unstable.empty()) {
    throw Error(ErrorKind::kBusy, Retry::kLater, "the file is being written just now",
                {.object = path, .next = "try again"});
  }
  if (!round.result.unreadable.empty()) {
    throw Error(ErrorKind::kData, Retry::kLater, round.result.unreadable.front().why,
                {.object = path, .next = "mend the file"});
  }
  take_again(round);
  ledger_.remove_held(place.first, place.second);
  write.make_durable();
}

bool FileScan::agrees(Deadline deadline) {
  const auto& known = known_files();
  std::size_t seen = 0;
  for (std::uint16_t number = 0; number < documents_->collections.size(); ++number) {
    const Collection& collection = documents_->collections[number];
    for (std::string& path : list_files(collection)) {
      const auto file = known.find({number, path});
      if (file == known.end() || deadline.passed()) return false;
      const ReadResult read = read_store_file(collection.root, path);
      if (read.outcome != ReadOutcome::kRead) return false;
      if (hash_of(read.file.bytes) != file->second.bytes) return false;
      ++seen;
    }
  }
  return seen == known.size();
}

ScanResult FileScan::run(Look look, RankedBatch* give) {
  Round round{.give = give};
  round.result.from = round.result.to = ledger_.last();
  auto found = candidates(look);
  if (found.empty() && !holds_back_) return round.result;
  const auto known_at = known_at_;
  LedgerWrite write(ledger_);
  FileJournal(ledger_).replay_inside();  // never look at files that are half replaced
  round.result.from = ledger_.last();
  // Anew under the lock, if another may have taken them meanwhile.
  if (ledger_.version() != known_at) found = candidates(look);
  take_all(found, round);
  write.make_durable();
  return std::move(round.result);
}

ScanResult FileScan::run_inside(Look look) {
  Round round;
  round.result.from = ledger_.last();
  take_all(candidates(look), round);
  return std::move(round.result);
}

void FileScan::take_all(const std::vector<Candidate>& found, Round& round) {
  for (const Candidate& candidate : found) take(candidate, round);
  take_again(round);
  note_held(round);
  round.result.to = ledger_.last();
}

}  // namespace switchback
