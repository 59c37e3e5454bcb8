// Replaces a set of files all or none, whatever happens in between: every new file is written and
// synced under a temporary name beside its own, then the intent (paths, old and new hashes) becomes
// durable in the ledger together with the position it leads to, then the files are renamed into
// place and their folders synced, then the intent is done. After a crash replay() finishes what was
// intended. A file that is not as the intent expects was changed behind the fence: it is left alone
// and reported. Used by the sink, and by whoever opens the store first after a crash. One thread.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "watchers/files/file_read.h"
#include "watchers/files/hash.h"
#include "watchers/files/ledger.h"

namespace switchback {

class FileJournal {
 public:
  explicit FileJournal(FilesLedger& ledger) : ledger_(ledger) {}

  /// Writes and syncs the file's new contents under a temporary name. `like` gives mode, owner and
  /// extended attributes; a new file has none. Throws Error(kDisk); then nothing is left behind.
  void stage(const FileWrite& write, std::string_view bytes,
             const std::optional<std::filesystem::path>& like);
  /// Before the ledger's commit: the temporary names are durable.
  void sync_staged();
  /// Inside the LedgerWrite that makes the rest of the batch durable.
  void intend(const std::vector<FileWrite>& writes);
  /// Carries out what is intended. Absolute paths that were not as expected are returned; nothing
  /// happened to them. Idempotent. Throws Error(kDisk); then a later replay() goes on.
  std::vector<std::string> replay();
  /// Removes what was staged and is not intended.
  void discard() noexcept;

 private:
  FilesLedger& ledger_;
  std::vector<std::filesystem::path> staged_;
};

}  // namespace switchback
