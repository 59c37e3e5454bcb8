#include "state/base/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <list>
#include <mutex>
#include <optional>
#include <system_error>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/unique_fd.h"

namespace switchback {
namespace {

void sync_folder(const std::filesystem::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) fail_with_errno(folder, "open folder");
  failpoint("file.folder_sync.before");
  if (::fsync(fd.get()) != 0) fail_with_errno(folder, "fsync folder");
  failpoint("file.folder_sync.after");
}

#ifdef SWITCHBACK_TEST_BUILD
// What a power loss would take back: renames whose folder was not synced yet.
struct Unsynced {
  std::mutex mutex;
  struct Rename {
    std::filesystem::path path;
    std::optional<std::string> before;
  };
  std::list<Rename> renames;
};

Unsynced& unsynced() {
  static auto* const instance = [] {
    auto* made = new Unsynced;  // lives as long as the process, so that no exit order matters
    on_power_loss([made] {
      made->mutex.lock();  // and never lets go: other threads get no further
      for (auto it = made->renames.rbegin(); it != made->renames.rend(); ++it) {
        if (!it->before) {
          ::unlink(it->path.c_str());
          continue;
        }
        const UniqueFd fd(::open(it->path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
        if (fd) write_all(fd.get(), *it->before, it->path);
      }
    });
    return made;
  }();
  return *instance;
}

class RenameTracker {
 public:
  explicit RenameTracker(const std::filesystem::path& path) {
    std::optional<std::string> before;
    if (::access(path.c_str(), F_OK) == 0) before = read_file(path);
    const std::lock_guard lock(unsynced().mutex);
    own_ = unsynced().renames.insert(unsynced().renames.end(), {path, std::move(before)});
  }
  ~RenameTracker() {
    const std::lock_guard lock(unsynced().mutex);
    unsynced().renames.erase(own_);
  }
  RenameTracker(const RenameTracker&) = delete;
  RenameTracker& operator=(const RenameTracker&) = delete;

 private:
  std::list<Unsynced::Rename>::iterator own_;
};
#else
struct RenameTracker {
  explicit RenameTracker(const std::filesystem::path&) {}
};
#endif

}  // namespace

void replace_file(const std::filesystem::path& path, std::string_view contents, mode_t mode) {
  const std::filesystem::path folder =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const std::filesystem::path temporary = path.string() + ".tmp";
  {
    const UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!fd) fail_with_errno(temporary, "create");
    if (::fchmod(fd.get(), mode) != 0) fail_with_errno(temporary, "chmod");
    write_all(fd.get(), contents, temporary);
    failpoint("file.sync.before");
    if (::fsync(fd.get()) != 0) fail_with_errno(temporary, "fsync");
    failpoint("file.sync.after");
  }
  const RenameTracker tracker(path);
  failpoint("file.rename.before");
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail_with_errno(path, "rename");
  failpoint("file.rename.after");
  sync_folder(folder);
}

std::string read_file(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return {};
  if (!fd) fail_with_errno(path, "open");
  std::string contents;
  std::array<char, 8192> buffer;
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_with_errno(path, "read");
    if (n == 0) return contents;
    contents.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

void make_folder(const std::filesystem::path& path, mode_t mode) {
  // With a slash at its end.
  if (!path.has_filename() && path.has_relative_path()) {
    return make_folder(path.parent_path(), mode);
  }
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) return;
  code.clear();
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), code);
  // Never open to more than `mode`, not even for a moment: who dies in it, or looks, meets that.
  failpoint("file.folder.before");
  if (!code && ::mkdir(path.c_str(), mode) != 0) code.assign(errno, std::system_category());
  failpoint("file.folder.after");
  std::error_code gone;
  if (code == std::errc::file_exists && std::filesystem::is_directory(path, gone)) return;
  if (code) {
    throw Error(ErrorKind::kDisk, Retry::kNever, "cannot create the folder: " + code.message(),
                {.object = path.string(),
                 .next = "correct the path in the configuration, or let this user create it"});
  }
  // What the umask took off. Who dies before leaves a folder that is open to fewer.
  if (::chmod(path.c_str(), mode) != 0) fail_with_errno(path, "chmod");
}

}  // namespace switchback
