#include "watchers/files/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "watchers/files/file_losses.h"
#include "watchers/files/file_read.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

// Descriptors that are kept open at most.
constexpr std::size_t kMostOpen = 256;

// In the file's own folder, since a rename must not cross file systems. The name is a dot file that
// no application's pattern means, is known to the scan, and short whatever the file's name is.
std::string temporary_name(std::string_view name) {
  const Hash128 hash = hash_of(name);
  return fmt::format("{}{:016x}{:016x}", kTemporaryPrefix, hash.high, hash.low);
}

// The folder a file is in, found without following a link.
class Folder {
 public:
  Folder(const FileWrite& write, FolderUse use) : name_(write.path) {
    std::string_view name = write.path;
    fd_ = open_folder_of(write.root, name, use);
    error_ = errno;
    name_ = name;
  }

  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  int error() const { return error_; }  // why there is none
  const char* name() const { return name_.c_str(); }
  std::string temporary() const { return temporary_name(name_); }
  void remove_temporary() const {
    const LentWrite lent(fd());
    ::unlinkat(fd(), temporary().c_str(), 0);
  }

 private:
  UniqueFd fd_;
  int error_ = 0;
  std::string name_;
};

void sync_folder(int folder, const fs::path& path) {
  failpoint("files.folder_sync.before");
  if (::fsync(folder) != 0) fail_with_errno(path, "cannot be synced");
  file_losses::folder_synced(path);
  failpoint("files.folder_sync.after");
}

// One sync for each folder that files were written in.
class FolderSyncs {
 public:
  void sync(const FileWrite& write) {
    const fs::path path = (write.root / write.path).parent_path();
    if (!done_.insert(path).second) return;
    const Folder folder(write, FolderUse::kWrite);
    if (folder) sync_folder(folder.fd(), path);
  }

 private:
  std::set<fs::path> done_;
};

// An attribute that cannot be set (another file system's, a missing right) is not worth refusing
// the write for.
void keep_attributes(int from, int to) {
  std::string names(64 << 10, '\0');
  std::string value(64 << 10, '\0');
  const ssize_t size = ::flistxattr(from, names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    const char* name = names.data() + at;
    at += static_cast<ssize_t>(std::strlen(name)) + 1;
    const ssize_t length = ::fgetxattr(from, name, value.data(), value.size());
    if (length >= 0) (void)::fsetxattr(to, name, value.data(), static_cast<std::size_t>(length), 0);
  }
}

void set_looks(int fd, mode_t mode, uid_t user, gid_t group, const fs::path& path) {
  if (::fchown(fd, user, group) != 0 && errno != EPERM) fail_with_errno(path, "cannot be owned");
  if (::fchmod(fd, mode) != 0) fail_with_errno(path, "cannot keep its mode");
}

// Mode, owner and attributes of the file it replaces; else what a new one gets.
void dress(const Folder& folder, int fd, const NewFileLooks& born, const fs::path& path) {
  struct stat like {};
  const UniqueFd old(
      ::openat(folder.fd(), folder.name(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (old) {
    if (::fstat(old.get(), &like) != 0) fail_with_errno(path, "cannot be looked at");
    keep_attributes(old.get(), fd);
    return set_looks(fd, like.st_mode & 07777, like.st_uid, like.st_gid, path);
  }
  if (::fstat(folder.fd(), &like) != 0) fail_with_errno(path, "cannot be looked at");
  const auto owner = born.owner.value_or(std::pair(like.st_uid, like.st_gid));
  set_looks(fd, born.mode, owner.first, owner.second, path);
}

UniqueFd make_anew(const Folder& folder, const fs::path& path) {
  const LentWrite lent(folder.fd());
  const std::string temporary = folder.temporary();
  ::unlinkat(folder.fd(), temporary.c_str(), 0);
  UniqueFd fd(::openat(folder.fd(), temporary.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail_with_errno(path, "cannot be made anew");
  return fd;
}

[[noreturn]] void refuse_link(const fs::path& path) {
  throw Error(ErrorKind::kRefused, Retry::kNever,
              "a symbolic link is on the way to it, and links are never followed",
              {.object = path.string()});
}

// Whether the file is now as it was intended.
bool carry_out(const FileWrite& write) {
  const fs::path path = write.root / write.path;
  const Folder folder(write, FolderUse::kWrite);
  if (!folder) {
    if (folder.error() == ENOENT) {
      require_root(write.root);
      return !write.after;
    }
    if (folder.error() == ELOOP || folder.error() == ENOTDIR) return false;
    errno = folder.error();
    fail_with_errno(path, "cannot be reached");
  }
  const ReadResult read = read_store_file(write.root, write.path);
  const bool readable = read.outcome == ReadOutcome::kRead || read.outcome == ReadOutcome::kAbsent;
  std::optional<Hash128> now;
  if (read.outcome == ReadOutcome::kRead) now = hash_of(read.file.bytes);
  const std::string temporary = folder.temporary();
  if (!readable || now == write.after || !(write.any_before || now == write.before)) {
    folder.remove_temporary();
    return readable && now == write.after;
  }
  failpoint("files.replace.before");
  file_losses::replacing(write.after ? path.parent_path() / temporary : fs::path(), path);
  {
    const LentWrite lent(folder.fd());
    if (write.after) {
      if (::renameat(folder.fd(), temporary.c_str(), folder.fd(), folder.name()) != 0) {
        fail_with_errno(path, "cannot be replaced");
      }
    } else if (::unlinkat(folder.fd(), folder.name(), 0) != 0 && errno != ENOENT) {
      fail_with_errno(path, "cannot be removed");
    }
  }
  failpoint("files.replace.after");
  return true;
}

}  // namespace

void FileJournal::stage(const FileWrite& write, std::string_view bytes, const NewFileLooks& born) {
  const fs::path path = write.root / write.path;
  const Folder folder(write, FolderUse::kMake);
  if (!folder) {
    if (folder.error() == ELOOP || folder.error() == ENOTDIR) refuse_link(path);
    errno = folder.error();
    fail_with_errno(path, "cannot be reached");
  }
  const std::string temporary = folder.temporary();
  UniqueFd fd = make_anew(folder, path);
  const int file = fd.get();
  staged_.push_back({write, std::move(fd)});
  write_all(file, bytes, path);
  dress(folder, file, born, path);
  file_losses::written(path.parent_path() / temporary);
  // A hint: the disk may begin. Whether it did does not matter.
  (void)::sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
  if (staged_.size() % kMostOpen == 0) sync_files();
}

void FileJournal::sync_files() {
  for (Staged& staged : staged_) {
    if (!staged.file) continue;
    const fs::path path = staged.write.root / staged.write.path;
    failpoint("files.stage.sync.before");
    if (::fsync(staged.file.get()) != 0) {
      fail_with_errno(path, "cannot be synced");
    }
    file_losses::synced(path.parent_path() / temporary_name(path.filename().string()));
    failpoint("files.stage.sync.after");
    staged.file.reset();
  }
}

void FileJournal::sync_staged() {
  sync_files();
  FolderSyncs folders;
  for (const Staged& staged : staged_) folders.sync(staged.write);
}

void FileJournal::intend(const std::vector<FileWrite>& writes) {
  for (const FileWrite& write : writes) ledger_.add_intent(write);
  staged_.clear();
}

void FileJournal::replay_inside() {
  const auto intents = ledger_.intents();
  if (intents.empty()) return;
  for (const FileWrite& write : intents) {
    const std::string path = (write.root / write.path).string();
    if (carry_out(write)) {
      ledger_.remove_quarantine(kChangedFiles, path);
      continue;
    }
    ledger_.put_quarantine(kChangedFiles, path,
                           "the file was changed behind the fence, so it was left as it is");
  }
  FolderSyncs folders;
  for (const FileWrite& write : intents) folders.sync(write);
  ledger_.clear_intents();
}

void FileJournal::replay() {
  if (ledger_.intents().empty()) return;
  LedgerWrite write(ledger_);
  replay_inside();
  write.make_durable();
}

void FileJournal::discard() noexcept {
  for (const Staged& staged : staged_) {
    const Folder folder(staged.write, FolderUse::kWrite);
    if (folder) folder.remove_temporary();
  }
  staged_.clear();
}

void remove_leftovers(const fs::path& root) {
  std::error_code code;
  constexpr auto kSkip = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator at(root, kSkip, code), end; !code && at != end;
       at.increment(code)) {
    if (!at->path().filename().string().starts_with(kTemporaryPrefix)) continue;
    std::error_code gone;
    fs::remove(at->path(), gone);
  }
}

}  // namespace switchback
