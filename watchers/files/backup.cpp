#include "watchers/files/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "state/base/deadline.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/hash128.h"
#include "state/base/json_text.h"
#include "state/base/unique_fd.h"
#include "state/base/utc_text.h"
#include "watchers/files/file_read.h"
#include "watchers/files/layout.h"
#include "watchers/files/scan.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

// Of all files together: how long writes in progress are waited for.
constexpr std::chrono::seconds kCopyPatience{5};
constexpr std::chrono::milliseconds kBetweenReads{10};

bool reads_whole(const std::string& bytes, const Collection& collection, const std::string& path) {
  try {
    (void)divide(bytes, collection.records, path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// nullopt: there is no such file (any more), or a link.
std::optional<FileBytes> read_settled(const Collection& collection, const std::string& path,
                                      Deadline deadline) {
  for (;;) {
    ReadResult read = read_store_file(collection.root, path);
    const bool late = deadline.passed();
    switch (read.outcome) {
      case ReadOutcome::kAbsent:
      case ReadOutcome::kRefused:
        return std::nullopt;
      case ReadOutcome::kRead:
        // What stays damaged is worth keeping, too.
        if (late || reads_whole(read.file.bytes, collection, path)) return std::move(read.file);
        break;
      case ReadOutcome::kUnstable:
        if (!late) break;
        throw Error(ErrorKind::kBusy, Retry::kLater, "the file does not hold still for a backup",
                    {.object = (collection.root / path).string(),
                     .next = "pause the application for a moment"});
    }
    std::this_thread::sleep_for(kBetweenReads);  // the writer's turn
  }
}

void write_copy(const fs::path& path, const FileBytes& file) {
  make_folder(path.parent_path(), 0700);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) fail_with_errno(path, "create");
  write_all(fd.get(), file.bytes, path);
}

void remove_whole(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (!code) return;
  errno = code.value();
  fail_with_errno(path, "remove");
}

void sync_all(const fs::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) fail_with_errno(folder, "open");
  failpoint("files.backup.sync.before");
  // One call for however many files there are.
  if (::syncfs(fd.get()) != 0) fail_with_errno(folder, "sync");
  failpoint("files.backup.sync.after");
}

void write_entry(JsonWriter& json, const fs::path& source, const fs::path& copy,
                 const FileBytes& file) {
  const Hash128 hash = hash_of(file.bytes);
  json.begin_object()
      .member("source", source.string())
      .member("file", copy.string())
      .member("bytes", static_cast<std::uint64_t>(file.bytes.size()))
      .member("mode", fmt::format("{:04o}", file.stamp.mode & 07777))
      .member("xxh3_128", fmt::format("{:016x}{:016x}", hash.high, hash.low))
      .end_object();
}

/// Several collections may share a root, and even a file.
class Roots {
 public:
  fs::path folder(const fs::path& root) {
    const auto at = numbers_.try_emplace(root, numbers_.size() + 1).first;
    return std::to_string(at->second);
  }

 private:
  std::map<fs::path, std::size_t> numbers_;
};

}  // namespace

void backup_files(const DocumentMap& documents, const fs::path& name) {
  const fs::path making = name.string() + ".tmp";
  const fs::path manifest = name.string() + ".json";
  // A manifest of the backup that is replaced must not vouch for this one.
  for (const fs::path& old : {manifest, making, name}) remove_whole(old);
  make_folder(making, 0700);
  const Deadline deadline = Deadline::in(kCopyPatience);
  Roots roots;
  std::set<fs::path> copied;
  JsonWriter json;
  json.begin_object()
      .member("made_at", utc_text(std::chrono::system_clock::now()))
      .member("folder", name.filename().string())
      .key("files")
      .begin_array();
  for (const Collection& collection : documents.collections) {
    for (const std::string& path : list_files(collection)) {
      const fs::path copy = roots.folder(collection.root) / path;
      if (!copied.insert(copy).second) continue;
      const auto file = read_settled(collection, path, deadline);
      if (!file) continue;
      write_copy(making / copy, *file);
      write_entry(json, collection.root / path, copy, *file);
    }
  }
  json.end_array().end_object();
  sync_all(making);
  failpoint("files.backup.rename.before");
  if (::rename(making.c_str(), name.c_str()) != 0) fail_with_errno(name, "rename");
  failpoint("files.backup.rename.after");
  // Syncs the folder that holds both names.
  replace_file(manifest, json.take() + "\n", 0600);
}

}  // namespace switchback
