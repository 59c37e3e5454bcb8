#include "watchers/files/write_fence.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <set>

#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/unique_fd.h"
#include "watchers/files/file_losses.h"

namespace switchback {
namespace {

constexpr mode_t kWriteBits = S_IWUSR | S_IWGRP | S_IWOTH;

// A descriptor, so that a link is never followed; none if there is no such file.
UniqueFd open_to_change(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
    fail_with_errno(path, "cannot be opened to change its mode");
  }
  return fd;
}

}  // namespace

void set_mode(const std::filesystem::path& path, mode_t mode) {
  const UniqueFd fd = open_to_change(path);
  if (!fd) return;
  struct stat now {};
  if (::fstat(fd.get(), &now) == 0 && (now.st_mode & 07777) == mode) return;
  file_losses::changing_mode(path, now.st_mode & 07777, mode);
  if (::fchmod(fd.get(), mode) != 0) {
    fail_with_errno(path, "cannot change its mode",
                    "let switchback run as the owner of the application's files, or as root");
  }
}

// One call for however many files there are: one for each would take seconds of a flip.
void sync_modes(const std::vector<std::filesystem::path>& paths) {
  std::set<dev_t> done;
  for (const auto& path : paths) {
    struct stat now {};
    if (::lstat(path.c_str(), &now) != 0 || done.contains(now.st_dev)) continue;
    const UniqueFd fd = open_to_change(path);
    if (!fd) continue;
    done.insert(now.st_dev);
    failpoint("files.fence.sync.before");
    if (::syncfs(fd.get()) != 0) fail_with_errno(path, "cannot be synced");
    failpoint("files.fence.sync.after");
  }
  file_losses::modes_synced();
}

bool is_writable(const std::filesystem::path& path) {
  struct stat now {};
  return ::lstat(path.c_str(), &now) == 0 && S_ISREG(now.st_mode) &&
         (now.st_mode & kWriteBits) != 0;
}

void raise_fence(FilesLedger& ledger, const std::vector<std::filesystem::path>& paths) {
  std::vector<std::pair<const std::filesystem::path*, mode_t>> found;
  {
    LedgerWrite write(ledger);
    for (const auto& path : paths) {
      struct stat now {};
      if (::lstat(path.c_str(), &now) != 0 || S_ISLNK(now.st_mode)) continue;
      found.emplace_back(&path, now.st_mode & 07777);
      ledger.put_fence(path.string(), now.st_mode & 07777);
    }
    write.make_durable();
  }
  for (const auto& [path, mode] : found) set_mode(*path, mode & ~kWriteBits);
  sync_modes(paths);
}

OpenForWriting open_for_writing(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return errno == ENOENT ? OpenForWriting::kNo : OpenForWriting::kCannotTell;
  // Whoever opens the file while we have the lease makes the kernel send this instead of SIGIO,
  // which would end the process; by itself it does nothing.
  if (::fcntl(fd.get(), F_SETSIG, SIGURG) != 0) return OpenForWriting::kCannotTell;
  if (::fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0) {
    return errno == EAGAIN ? OpenForWriting::kYes : OpenForWriting::kCannotTell;
  }
  ::fcntl(fd.get(), F_SETLEASE, F_UNLCK);
  return OpenForWriting::kNo;
}

}  // namespace switchback
