// The fence of a store of files: the write bits of files and of the folders they are in are off,
// so that opening a file to write, replacing or making one fails with "permission denied". It holds
// off whoever is neither root nor changes the bits back. What they were is kept in the ledger, and
// becomes durable there before any bit changes. Part of the gate. Stateless but for the ledger.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "watchers/files/ledger.h"

namespace switchback {

/// Takes the write bits of all paths, durably. Idempotent: a mode that is noted stays. Where a
/// ledger that was lost had taken them before, the owner's is noted. Throws Error(kDisk); then
/// lower_fence() is due.
void raise_fence(FilesLedger& ledger, const std::vector<std::filesystem::path>& paths);
/// Gives back the bits of all fenced paths that `ours` says yes to. Idempotent; throws as above.
template <class Ours>
void lower_fence(FilesLedger& ledger, Ours ours);
/// Whether this process may take a path's write bits, or there are none to take; true of one that
/// is gone or cannot be opened.
bool may_fence(const std::filesystem::path& path);
/// Sets a path's mode; one that is gone is nothing. Throws Error(kDisk).
void set_mode(const std::filesystem::path& path, mode_t mode);
/// The modes of all these paths are on disk.
void sync_modes(const std::vector<std::filesystem::path>& paths);
/// Takes the write bits of those of the ledger's folders that have them, durably: a process that
/// was lent them (LentWrite) and died did not give them back. Throws as above.
void raise_folders(const FilesLedger& ledger);

/// The owner's right to write in a folder, lent while this lives: the fence may have taken it. For
/// as short as can be, since the owner may be the application too; never across a sync, which would
/// make it last.
class LentWrite {
 public:
  explicit LentWrite(int folder);
  ~LentWrite();
  LentWrite(const LentWrite&) = delete;
  LentWrite& operator=(const LentWrite&) = delete;

 private:
  int folder_;
  std::optional<mode_t> before_;
};

/// Whether a regular file is there that its mode lets somebody write.
bool is_writable(const std::filesystem::path& path);

enum class OpenForWriting { kNo, kYes, kCannotTell };
/// Whether any process has the file open for writing, or mapped so: a read lease is refused then.
/// https://man7.org/linux/man-pages/man2/fcntl.2.html, "Leases".
OpenForWriting open_for_writing(const std::filesystem::path& path);

template <class Ours>
void lower_fence(FilesLedger& ledger, Ours ours) {
  std::vector<std::filesystem::path> lowered;
  for (const auto& [path, mode] : ledger.fences()) {
    if (!ours(path)) continue;
    set_mode(path, mode);
    lowered.emplace_back(path);
  }
  if (lowered.empty()) return;
  // Nobody waits for this: files whose bits a power loss took again would be refused for ever.
  sync_modes(lowered);
  LedgerWrite write(ledger);
  for (const auto& path : lowered) ledger.remove_fence(path.string());
  write.make_durable();
}

}  // namespace switchback
