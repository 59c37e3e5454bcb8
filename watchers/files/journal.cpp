#include "watchers/files/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

// In the file's own folder, since a rename must not cross file systems. The name is a dot file that
// no application's pattern means; the scan knows it too.
fs::path temporary_for(const fs::path& file) {
  return file.parent_path() / (std::string(kTemporaryPrefix) + file.filename().string());
}

void sync_folder(const fs::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) fail_with_errno(folder, "cannot be opened");
  failpoint("files.folder_sync.before");
  if (::fsync(fd.get()) != 0) fail_with_errno(folder, "cannot be synced");
  failpoint("files.folder_sync.after");
}

// What the file had besides its contents. An attribute that cannot be set (another file system's,
// a missing right) is not worth refusing the write for.
void take_after(int to, const fs::path& like) {
  struct stat old {};
  if (::lstat(like.c_str(), &old) != 0) return;
  if (::fchown(to, old.st_uid, old.st_gid) != 0 && errno != EPERM) {
    fail_with_errno(like, "cannot keep its owner");
  }
  if (::fchmod(to, old.st_mode & 07777) != 0) fail_with_errno(like, "cannot keep its mode");
  std::string names(64 << 10, '\0');
  const ssize_t size = ::llistxattr(like.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    const char* name = names.data() + at;
    at += static_cast<ssize_t>(std::strlen(name)) + 1;
    std::string value(64 << 10, '\0');
    const ssize_t length = ::lgetxattr(like.c_str(), name, value.data(), value.size());
    if (length >= 0) (void)::fsetxattr(to, name, value.data(), static_cast<std::size_t>(length), 0);
  }
}

std::optional<Hash128> hash_now(const fs::path& root, const std::string& path, bool& readable) {
  const ReadResult read = read_store_file(root, path);
  readable = read.outcome == ReadOutcome::kRead || read.outcome == ReadOutcome::kAbsent;
  if (read.outcome != ReadOutcome::kRead) return std::nullopt;
  return hash_of(read.file.bytes);
}

// True if the file is now as it was intended.
bool carry_out(const FileWrite& write, std::set<fs::path>& folders) {
  const fs::path file = write.root / write.path;
  const fs::path temporary = temporary_for(file);
  bool readable = true;
  const auto now = hash_now(write.root, write.path, readable);
  const bool done = readable && now == write.after;
  const bool expected = readable && (write.any_before || now == write.before);
  if (done || !expected) {
    ::unlink(temporary.c_str());
    return done;
  }
  folders.insert(file.parent_path());
  failpoint("files.replace.before");
  if (write.after) {
    if (::rename(temporary.c_str(), file.c_str()) != 0) fail_with_errno(file, "cannot be replaced");
  } else if (::unlink(file.c_str()) != 0 && errno != ENOENT) {
    fail_with_errno(file, "cannot be removed");
  }
  failpoint("files.replace.after");
  return true;
}

}  // namespace

void FileJournal::stage(const FileWrite& write, std::string_view bytes,
                        const std::optional<fs::path>& like) {
  const fs::path file = write.root / write.path;
  const fs::path temporary = temporary_for(file);
  std::error_code code;
  fs::create_directories(file.parent_path(), code);
  ::unlink(temporary.c_str());
  const UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd) fail_with_errno(temporary, "cannot be made");
  staged_.push_back(temporary);
  write_all(fd.get(), bytes, temporary);
  if (like) take_after(fd.get(), *like);
  failpoint("files.stage.sync.before");
  if (::fsync(fd.get()) != 0) fail_with_errno(temporary, "cannot be synced");
  failpoint("files.stage.sync.after");
}

void FileJournal::sync_staged() {
  std::set<fs::path> folders;
  for (const fs::path& temporary : staged_) folders.insert(temporary.parent_path());
  for (const fs::path& folder : folders) sync_folder(folder);
}

void FileJournal::intend(const std::vector<FileWrite>& writes) {
  for (const FileWrite& write : writes) ledger_.add_intent(write);
  staged_.clear();
}

std::vector<std::string> FileJournal::replay() {
  std::vector<std::string> changed_behind;
  std::set<fs::path> folders;
  const auto intents = ledger_.intents();
  if (intents.empty()) return changed_behind;
  for (const FileWrite& write : intents) {
    if (!carry_out(write, folders)) changed_behind.push_back((write.root / write.path).string());
  }
  for (const fs::path& folder : folders) sync_folder(folder);
  LedgerWrite write(ledger_);
  ledger_.clear_intents();
  write.make_durable();
  return changed_behind;
}

void FileJournal::discard() noexcept {
  for (const fs::path& temporary : staged_) ::unlink(temporary.c_str());
  staged_.clear();
}

}  // namespace switchback
