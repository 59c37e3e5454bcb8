// One look at the files of a store: which changed since the ledger last knew them, and which rows
// became unlike by it. Events are only hints, so a look is right whatever was missed: a full one
// reads every file, a quick one those whose stamp differs from the ledger's. A file that is half
// written, emptied or no JSON is left as the ledger knows it and reported. Used by source, reader
// and, under a flip's lock, the gate; each has a FileScan and a ledger of its own. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "state/base/deadline.h"
#include "state/base/error.h"
#include "watchers/files/file_diff.h"
#include "watchers/files/ledger.h"
#include "watchers/files/lens.h"
#include "watchers/files/ranked_batch.h"

namespace switchback {

/// A file that could not be taken; its rows stay as they were.
struct UnreadableFile {
  std::string path;   // absolute
  std::string why;    // with line, column and pointer, if it is not JSON
  bool held = false;  // it would delete more than half of its records and more than three
  friend bool operator==(const UnreadableFile&, const UnreadableFile&) = default;
};

enum class Look { kStamps, kContents };

struct ScanResult {
  Position from, to;       // the log's end before and after; equal: nothing was logged
  bool contested = false;  // what `give` got is not all: read the rows from the log's keys
  bool untaken = false;    // a file changed under our eyes, and is still as the ledger knew it
  bool unstable = false;   // a file changed under our eyes, or so shortly before that it may again
  std::vector<UnreadableFile> unreadable;
};

/// A place where files may be: a collection and a path below its root.
using FilePlace = std::pair<std::uint16_t, std::string>;

class FileScan {
 public:
  FileScan(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
           FilesLedger& ledger);

  /// Looks at all files; changes go to `give`, if it is not nullptr, as well as into the log.
  /// Throws Error(kDisk), also if a folder is not there that had files; then nothing was logged.
  ScanResult run(Look look, RankedBatch* give);
  /// The same inside a LedgerWrite of the caller's, who may undo it: then nothing was noted.
  ScanResult run_inside(Look look);
  /// Takes a file that was held as it stands now, whatever it deletes; into the log only. Throws
  /// Error(kBusy) if it is being written, Error(kData) if it cannot be read.
  void let_through(const FilePlace& place);
  /// Whether every file holds what the ledger says, byte for byte, and none came or went. False
  /// also if there was no time to read them all. Changes nothing. Throws Error(kDisk).
  bool agrees(Deadline deadline);

  const Lens& lens(std::uint16_t collection) const { return lenses_[collection]; }
  const Collection& collection(std::uint16_t number) const {
    return documents_->collections[number];
  }

 private:
  struct Candidate {
    KnownFile known;  // id 0: new
    bool there = true;
  };
  const std::map<FilePlace, KnownFile>& known_files();
  bool may_be_unfinished(const FilePlace& place, const FileBytes& file) const;
  std::vector<Candidate> candidates(Look look);
  bool is_as_known(const FilePlace& place, const KnownFile& file,
                   const std::optional<FileStamp>& now) const;
  /// What a look goes through the files with.
  struct Round {
    RankedBatch* give = nullptr;
    ScanResult result = {};
    std::set<std::int64_t> again = {};           // to be compared anew
    std::map<FilePlace, std::string> held = {};  // and why
    std::set<FilePlace> unstable = {};
    std::map<std::pair<std::uint16_t, std::uint64_t>, bool> disks_there = {};  // by collection
  };
  /// Another collection whose records in that file would overlap; nullptr: none.
  const Collection* rival(const FilePlace& place) const;
  void take(const Candidate& candidate, Round& round, MassDelete mass = MassDelete::kHold);
  bool has_one_as_it_was(std::uint16_t number, std::uint64_t device) const;
  void refuse_another_disk(const KnownFile& known, Round& round);
  void take_again(Round& round);
  void take_all(const std::vector<Candidate>& found, Round& round);
  void note_held(const Round& round);

  const std::shared_ptr<const Mapping> mapping_;
  const std::shared_ptr<const DocumentMap> documents_;
  FilesLedger& ledger_;
  std::vector<Lens> lenses_;
  std::map<FilePlace, KnownFile> known_;
  // What was read and was as the ledger has it, for looks whose notes are undone.
  std::map<FilePlace, std::pair<FileStamp, Hash128>> seen_equal_;
  std::map<FilePlace, Deadline::Clock::time_point> unfinished_since_;
  bool holds_back_ = false;                                 // a file, as known_ was read
  std::pair<std::int64_t, std::int64_t> known_at_{-1, -1};  // the ledger's version
};

/// Whether a pattern of the collection's takes the path, and none excepts it.
bool takes_file(const Collection& collection, const std::string& path);
/// `pattern`, a collection's lock or keep_copy, for the file at `path`.
std::string beside(const std::string& pattern, const std::string& path);
/// The paths of a collection's files below its root. Folders that are symbolic links are not
/// entered. Throws Error(kDisk).
std::vector<std::string> list_files(const Collection& collection);
/// The folders that are there and may hold files of the collection, those without one included;
/// the root, "", first. Throws as above.
std::vector<std::string> list_folders(const Collection& collection);

}  // namespace switchback
