// Replaces a set of files all or none, whatever happens in between: every new file is written and
// synced under a temporary name in the folder of its own, then the intent (paths, old and new
// hashes) becomes durable in the ledger together with the position it leads to, then the files are
// renamed into place and their folders synced, then the intent is done. After a crash replay()
// finishes what was intended. A file that is not as the intent expects was changed behind the
// fence: it is left alone and quarantined. Links below the root are never followed. Used by the
// sink, and by whoever looks at the store first after a crash. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "state/base/unique_fd.h"
#include "watchers/files/ledger.h"

namespace switchback {

/// How a file looks from outside that has no predecessor whose looks it keeps.
struct NewFileLooks {
  mode_t mode = 0644;
  std::optional<std::pair<uid_t, gid_t>> owner = {};  // nullopt: that of its folder
};

class FileJournal {
 public:
  explicit FileJournal(FilesLedger& ledger) : ledger_(ledger) {}

  /// Writes the file's new contents under a temporary name. A file that is there already gives
  /// mode, owner and extended attributes. Throws Error(kDisk); Error(kRefused) if a link is in the
  /// way.
  void stage(const FileWrite& write, std::string_view bytes, const NewFileLooks& born);
  /// Before the ledger's commit: contents and temporary names are durable. All at once, since the
  /// first sync then carries most of what the others would have to wait for.
  void sync_staged();
  /// Inside the LedgerWrite that makes the rest of the batch durable. What was staged is kept from
  /// here on, since nobody knows how a commit ended that failed.
  void intend(const std::vector<FileWrite>& writes);
  /// Removes what was staged and is not intended.
  void discard() noexcept;

  /// Carries out what is intended. Files that were not as expected are quarantined; nothing
  /// happened to them. Idempotent. Throws Error(kDisk); then a later replay() goes on.
  void replay();
  /// The same inside a LedgerWrite.
  void replay_inside();

 private:
  struct Staged {
    FileWrite write;
    UniqueFd file;  // until it is synced
  };
  void sync_files();

  FilesLedger& ledger_;
  std::vector<Staged> staged_;
};

/// Under which table the quarantine names files, by their absolute paths.
inline constexpr std::string_view kChangedFiles = "files";

/// Removes temporary files below `root` that a crash left behind. Inside a LedgerWrite, when
/// nothing is intended.
void remove_leftovers(const std::filesystem::path& root);

}  // namespace switchback
