#include "state/ledger/state_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

[[noreturn]] void state_dir_failed(const std::filesystem::path& path, const char* step, int code) {
  std::string what = fmt::format("{}: {}", step, std::strerror(code));
  std::string next = "restore access to the state directory, then start again";
  if (code == ENOENT || code == ENOTDIR) {
    what = fmt::format("the state directory is gone ({})", step);
    next = "put it back as it was (its files still say what was installed), then start again";
  } else if (code == EROFS || code == EACCES || code == EPERM) {
    what = fmt::format("the state directory cannot be written ({}: {})", step, std::strerror(code));
  } else if (code == ENOSPC || code == EDQUOT) {
    what = fmt::format("no room in the state directory ({}: {})", step, std::strerror(code));
    next = "free space on its file system, then start again";
  }
  throw Error(ErrorKind::kDisk, Retry::kLater, what, {.object = path.string(), .next = next});
}

std::filesystem::path lock_path(const std::filesystem::path& folder) {
  return folder / "lock";
}

std::optional<pid_t> parse_pid(std::string_view text) {
  pid_t pid = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (result.ec != std::errc() || pid <= 0) return std::nullopt;
  return pid;
}

std::string random_hex() {
  std::array<unsigned char, 32> bytes;
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = ::getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw Error(ErrorKind::kInternal, Retry::kNever,
                  fmt::format("no random bytes from the kernel: {}", std::strerror(errno)));
    }
    have += static_cast<std::size_t>(n);
  }
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

}  // namespace

StateDir StateDir::open(const std::filesystem::path& path) {
  make_folder(path, 0700);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) state_dir_failed(path, "look at the folder", errno);
  if ((info.st_mode & 077) != 0) {
    throw Error(ErrorKind::kUsage, Retry::kNever,
                fmt::format("the state directory is open to others (mode {:04o}); it holds the "
                            "token that may flip",
                            info.st_mode & 07777),
                {.object = path.string(), .next = fmt::format("chmod 700 '{}'", path.string())});
  }
  return StateDir(path);
}

void StateDir::lock() {
  UniqueFd fd(::open(lock_path(path_).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) state_dir_failed(path_, "open the lock file", errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    const auto pid = parse_pid(read_file(lock_path(path_)));
    throw Error(
        ErrorKind::kRefused, Retry::kNever,
        fmt::format("another switchback already runs here (process {})",
                    pid ? std::to_string(*pid) : "unknown"),
        {.object = path_.string(), .next = "use that one (`switchback status`) or stop it"});
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) != 0 ||
      ::pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    state_dir_failed(path_, "write the lock file", errno);
  }
  lock_ = std::move(fd);
}

std::optional<pid_t> StateDir::holder(const std::filesystem::path& path) {
  const UniqueFd fd(::open(lock_path(path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return std::nullopt;
  return parse_pid(read_file(lock_path(path)));
}

std::string StateDir::token() const {
  std::string token = read_token(path_);
  if (token.size() == 64) return token;
  token = random_hex();
  replace_file(file("token"), token + "\n", 0600);
  return token;
}

std::string StateDir::read_token(const std::filesystem::path& path) {
  std::string token = read_file(path / "token");
  while (!token.empty() && token.back() == '\n') token.pop_back();
  return token;
}

void StateDir::probe() const {
  if (lock_) {
    struct stat ours {
    }, there{};
    if (::fstat(lock_.get(), &ours) != 0) state_dir_failed(path_, "look at the lock", errno);
    if (::stat(lock_path(path_).c_str(), &there) != 0) {
      state_dir_failed(path_, "look for the lock", errno);
    }
    if (ours.st_ino != there.st_ino || ours.st_dev != there.st_dev) {
      throw Error(ErrorKind::kDisk, Retry::kNever, "the state directory was replaced by another",
                  {.object = path_.string(), .next = "stop this sidecar and start it again"});
    }
  }
  const auto path = file("probe");
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) state_dir_failed(path_, "create a file", errno);
  if (::write(fd.get(), "x", 1) != 1) state_dir_failed(path_, "write a file", errno);
  failpoint("state.probe_sync.before");
  if (::fsync(fd.get()) != 0) state_dir_failed(path_, "sync a file", errno);
  failpoint("state.probe_sync.after");
  ::unlink(path.c_str());
}

}  // namespace switchback
