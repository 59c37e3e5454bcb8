#include "watchers/files/file_read.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

FileStamp stamp_from(const struct stat& s) {
  const auto ns = [](const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; };
  return {s.st_dev, s.st_ino, s.st_size, ns(s.st_mtim), ns(s.st_ctim), s.st_mode};
}

bool is_absent(int error) {
  return error == ENOENT || error == ENOTDIR;
}

bool is_link(int error) {
  return error == ELOOP || error == EMLINK;
}

// As its surroundings have it: the sidecar may run as somebody else than the application.
bool make_folder(int around, const char* name) {
  struct stat like {};
  if (::fstat(around, &like) != 0) return false;
  {
    const LentWrite lent(around);
    if (::mkdirat(around, name, like.st_mode & 07777) != 0) return errno == EEXIST;
  }
  if (::fchownat(around, name, like.st_uid, like.st_gid, AT_SYMLINK_NOFOLLOW) != 0 &&
      errno != EPERM) {
    return false;
  }
  if (::fchmodat(around, name, like.st_mode & 07777, 0) != 0) return false;
  // A file in it is no more durable than its name.
  failpoint("files.folder_sync.before");
  if (::fsync(around) != 0) return false;
  failpoint("files.folder_sync.after");
  return true;
}

// Reads to the end, whatever size the file claims to have. False: errno says why.
bool read_to_end(int fd, std::int64_t size, std::string& out) {
  out.resize(static_cast<std::size_t>(size) + 1);
  std::size_t length = 0;
  for (;;) {
    if (length == out.size()) out.resize(out.size() + (out.size() >> 1) + 4096);
    const ssize_t n = ::read(fd, out.data() + length, out.size() - length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) break;
    length += static_cast<std::size_t>(n);
  }
  out.resize(length);
  return true;
}

}  // namespace

UniqueFd open_folder_of(const std::filesystem::path& root, std::string_view& path, FolderUse use) {
  const int flags = (use == FolderUse::kLook ? O_PATH : O_RDONLY) | O_DIRECTORY | O_CLOEXEC;
  UniqueFd folder(::open(root.c_str(), flags));
  while (folder) {
    const std::size_t slash = path.find('/');
    if (slash == std::string_view::npos) break;
    const std::string part(path.substr(0, slash));
    UniqueFd inner(::openat(folder.get(), part.c_str(), flags | O_NOFOLLOW));
    if (!inner && errno == ENOENT && use == FolderUse::kMake) {
      if (!make_folder(folder.get(), part.c_str())) return {};
      inner = UniqueFd(::openat(folder.get(), part.c_str(), flags | O_NOFOLLOW));
    }
    path.remove_prefix(slash + 1);
    folder = std::move(inner);
  }
  return folder;
}

void require_root(const std::filesystem::path& root) {
  std::error_code code;
  if (std::filesystem::exists(root, code) || code) return;
  throw Error(
      ErrorKind::kDisk, Retry::kLater,
      "the folder of the files is not there: what it held stays as it was, and what is to be "
      "written waits for it",
      {.object = root.string(), .next = "mount it, or put it back where it was"});
}

ReadResult read_store_file(const std::filesystem::path& root, std::string_view path) {
  const auto outcome = [](ReadOutcome what) { return ReadResult{what, {}}; };
  const auto failed = [&] {
    if (is_absent(errno)) return outcome(ReadOutcome::kAbsent);
    if (is_link(errno)) return outcome(ReadOutcome::kRefused);
    fail_with_errno(root / path, "cannot be opened");
  };
  std::string_view name = path;
  const UniqueFd folder = open_folder_of(root, name, FolderUse::kLook);
  if (!folder) return failed();
  // O_NONBLOCK: a named pipe in the folder must not stop us.
  const std::string leaf(name);
  const UniqueFd fd(
      ::openat(folder.get(), leaf.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return failed();
  struct stat before {};
  struct stat after {};
  struct stat named {};
  if (::fstat(fd.get(), &before) != 0) fail_with_errno(root / path, "cannot be looked at");
  if (!S_ISREG(before.st_mode)) return outcome(ReadOutcome::kRefused);
  ReadResult result{ReadOutcome::kRead, {{}, stamp_from(before)}};
  if (!read_to_end(fd.get(), before.st_size, result.file.bytes)) {
    fail_with_errno(root / path, "cannot be read");
  }
  if (::fstat(fd.get(), &after) != 0) fail_with_errno(root / path, "cannot be looked at");
  if (::fstatat(folder.get(), leaf.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0) return failed();
  const bool still = stamp_from(after) == result.file.stamp &&
                     stamp_from(named) == result.file.stamp &&
                     result.file.bytes.size() == static_cast<std::size_t>(before.st_size);
  if (!still) return outcome(ReadOutcome::kUnstable);
  return result;
}

bool holds_link(const std::filesystem::path& root, std::string_view path) {
  std::filesystem::path at = root;
  for (const auto& part : std::filesystem::path(path)) {
    at /= part;
    std::error_code code;
    if (std::filesystem::symlink_status(at, code).type() == std::filesystem::file_type::symlink) {
      return true;
    }
  }
  return false;
}

FileStamps::FileStamps(std::filesystem::path root) : root_(std::move(root)) {}

std::optional<FileStamp> FileStamps::of(std::string_view path) {
  const std::size_t end = path.rfind('/') + 1;  // 0 without one
  if (!folder_ || path.substr(0, end) != below_) {
    std::string_view name = path;
    folder_ = open_folder_of(root_, name, FolderUse::kLook);
    below_ = path.substr(0, end);
  }
  struct stat found {};
  const std::string leaf(path.substr(end));
  if (!folder_ || ::fstatat(folder_.get(), leaf.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
    if (is_absent(errno) || is_link(errno)) return std::nullopt;
    fail_with_errno(root_ / path, "cannot be looked at");
  }
  if (!S_ISREG(found.st_mode)) return std::nullopt;
  return stamp_from(found);
}

std::optional<FileStamp> stamp_of(const std::filesystem::path& root, std::string_view path) {
  return FileStamps(root).of(path);
}

}  // namespace switchback
