#include "watchers/files/write_fence.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>

#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/log.h"
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

struct FoundMode {
  const std::filesystem::path* path;
  mode_t mode;  // before the fence, if that is noted; else as it is
  bool is_folder;
  bool is_noted;
};

bool lacks_write_bits(const FoundMode& one) {
  return (one.mode & kWriteBits) == 0;
}

// Most files and most folders are read-only, and no mode of theirs is noted: the fence of a ledger
// that was lost. No application leaves its store like that, since it could not write there.
bool stands_behind_a_lost_fence(const std::vector<FoundMode>& found) {
  const auto mostly_read_only = [&](bool folders) {
    const auto counts = [&](const FoundMode& one) {
      return !one.is_noted && one.is_folder == folders;
    };
    const auto all = std::count_if(found.begin(), found.end(), counts);
    const auto read_only = std::count_if(found.begin(), found.end(), [&](const FoundMode& one) {
      return counts(one) && lacks_write_bits(one);
    });
    return 2 * read_only >= all;
  };
  return mostly_read_only(false) && mostly_read_only(true);
}

// What the modes were before a fence that was lost with its ledger, nobody knows. Noted as they are
// found, they would refuse the application for ever; so their owner may write when the gate opens.
void guess_modes_before(std::vector<FoundMode>& found) {
  std::size_t guessed = 0;
  for (FoundMode& one : found) {
    if (one.is_noted || !lacks_write_bits(one)) continue;
    one.mode |= S_IWUSR;
    ++guessed;
  }
  if (guessed == 0) return;
  log_warning(
      fmt::format("{} files and folders are read-only already, and the ledger does not know what "
                  "their modes were: when the gate opens, their owner may write to them",
                  guessed));
}

}  // namespace

// O_NOATIME asks the same of the kernel as chmod() does, and changes nothing.
// https://man7.org/linux/man-pages/man2/open.2.html
bool may_fence(const std::filesystem::path& path) {
  struct stat now {};
  if (::lstat(path.c_str(), &now) != 0 || (now.st_mode & kWriteBits) == 0) return true;
  const UniqueFd fd(
      ::open(path.c_str(), O_RDONLY | O_NOATIME | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  return fd || errno != EPERM;
}

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
  std::vector<FoundMode> found;
  {
    LedgerWrite write(ledger);
    const auto noted = ledger.fences();
    for (const auto& path : paths) {
      struct stat now {};
      if (::lstat(path.c_str(), &now) != 0 || S_ISLNK(now.st_mode)) continue;
      const auto before = noted.find(path.string());
      const bool is_noted = before != noted.end();
      found.push_back(
          {&path, is_noted ? before->second : now.st_mode & 07777, S_ISDIR(now.st_mode), is_noted});
    }
    if (stands_behind_a_lost_fence(found)) guess_modes_before(found);
    for (const FoundMode& one : found) {
      if (!one.is_noted) ledger.put_fence(one.path->string(), one.mode);
    }
    write.make_durable();
  }
  for (const FoundMode& one : found) set_mode(*one.path, one.mode & ~kWriteBits);
  sync_modes(paths);
}

void raise_folders(const FilesLedger& ledger) {
  std::vector<std::filesystem::path> raised;
  for (const auto& [path, mode] : ledger.fences()) {
    struct stat now {};
    if (::lstat(path.c_str(), &now) != 0 || !S_ISDIR(now.st_mode)) continue;
    if ((now.st_mode & kWriteBits) == 0) continue;
    set_mode(path, mode & ~kWriteBits);
    raised.emplace_back(path);
  }
  sync_modes(raised);
}

LentWrite::LentWrite(int folder) : folder_(folder) {
  struct stat now {};
  if (::faccessat(folder, ".", W_OK, AT_EACCESS) == 0 || ::fstat(folder, &now) != 0) return;
  if (::fchmod(folder, (now.st_mode & 07777) | S_IWUSR) == 0) before_ = now.st_mode & 07777;
}

// Only the owner can have been lent anything, so it can be taken back.
LentWrite::~LentWrite() {
  if (before_) (void)::fchmod(folder_, *before_);
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
