#include "watchers/files/app_locks.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "state/base/file_calls.h"

namespace switchback {
namespace {

// No event tells that a lock became free without taking it.
constexpr int kBetweenLockTriesMs = 2;

bool lock_now(int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return false;
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return ::fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

bool is_still(const std::filesystem::path& path, int fd) {
  struct stat named {
  }, opened{};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace

bool AppLocks::take_one(Lock& lock) {
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  lock.fd = UniqueFd(::open(lock.path.c_str(), kFlags | O_CREAT | O_EXCL, 0666));
  lock.made = static_cast<bool>(lock.fd);
  if (!lock.fd && errno == EEXIST) lock.fd = UniqueFd(::open(lock.path.c_str(), kFlags));
  if (!lock.fd) {
    // A folder is the lock of those who make one.
    if (errno == EISDIR || errno == ENOENT) return false;
    fail_with_errno(lock.path, "cannot be locked");
  }
  // The application may run as somebody else, and must be able to wait for it.
  if (lock.made) (void)::fchmod(lock.fd.get(), 0666);
  if (lock_now(lock.fd.get()) && is_still(lock.path, lock.fd.get())) return true;
  lock.fd.reset();
  return false;
}

bool AppLocks::take(const std::vector<std::filesystem::path>& files, Deadline deadline) {
  for (const auto& path : files) {
    std::error_code code;
    if (!std::filesystem::is_directory(path.parent_path(), code)) continue;
    Lock lock{path, {}, false};
    while (!take_one(lock)) {
      if (deadline.passed()) {
        release();
        return false;
      }
      ::poll(nullptr, 0, kBetweenLockTriesMs);
    }
    locks_.push_back(std::move(lock));
  }
  return true;
}

void AppLocks::release() noexcept {
  for (Lock& lock : locks_) {
    if (lock.made && is_still(lock.path, lock.fd.get())) ::unlink(lock.path.c_str());
  }
  locks_.clear();
}

bool AppLocks::held(const std::filesystem::path& file) {
  struct stat named {};
  if (::lstat(file.c_str(), &named) != 0) return false;
  if (S_ISDIR(named.st_mode)) return true;
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  return fd && !lock_now(fd.get());
}

}  // namespace switchback
