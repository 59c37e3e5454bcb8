// Replaces a set of files all or none, whatever happens in between: every new file is written and
// synced under a temporary name that no pattern matches, then the intent (paths, old and new
// hashes, position) is made durable in the ledger, then the files are renamed into place and their
// folders synced, then the intent is done. After a crash replay() finishes what was intended. A
// file whose old hash is not the expected one was changed behind the fence: it is left alone and
// reported. Used by the sink, and by whoever opens the store first after a crash. One thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "watchers/files/file_read.h"
#include "watchers/files/hash.h"
#include "watchers/files/ledger.h"

namespace switchback {

struct FileWrite {
  std::filesystem::path root;
  std::string path;                  // below root
  std::optional<Hash128> before;     // nullopt: there must be none
  std::optional<std::string> after;  // nullopt: the file goes
  mode_t mode = 0644;                // of a new file; an old one keeps mode, owner and xattrs
  std::string copy;                  // sibling to be kept in step, below root; or empty
};

/// Paths that were not as expected; their writes did not happen.
struct JournalResult {
  std::vector<std::string> changed_behind;
};

class FileJournal {
 public:
  explicit FileJournal(FilesLedger& ledger) : ledger_(ledger) {}

  /// All of `writes`, and the ledger's open transaction (commit_applied), or none of it. Throws
  /// Error(kDisk); then a later replay() decides.
  JournalResult apply(const std::vector<FileWrite>& writes, const Position& position);
  /// Finishes or undoes what a crash left. Before any watcher starts. Idempotent.
  JournalResult replay();

 private:
  FilesLedger& ledger_;
};

}  // namespace switchback
