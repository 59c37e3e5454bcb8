#include "watchers/sqlite/backup.h"

#include <SQLiteCpp/Backup.h>
#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/json_text.h"
#include "state/base/unique_fd.h"
#include "state/base/utc_text.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kFirstSlice{20};
constexpr milliseconds kLongestSlice{800};
constexpr milliseconds kGap{10};
constexpr int kMostRestarts = 40;
constexpr int kBusyMs = 5'000;

/// How many pages fit into a time slice, learned from the steps so far.
class Pace {
 public:
  int pages(milliseconds slice) const {
    const double fit = pages_per_ms_ * static_cast<double>(slice.count());
    return static_cast<int>(std::clamp(fit, 16.0, 1'000'000.0));
  }
  void learn(int pages, Clock::duration took) {
    const double ms = std::chrono::duration<double, std::milli>(took).count();
    if (ms > 0.01) pages_per_ms_ = static_cast<double>(pages) / ms;
  }

 private:
  double pages_per_ms_ = 5;
};

void copy_in_slices(SQLite::Backup& backup, const std::filesystem::path& source) {
  Pace pace;
  milliseconds slice = kFirstSlice;
  int restarts = 0;
  int left_before = INT32_MAX;
  for (;;) {
    const int pages = pace.pages(slice);
    const auto start = Clock::now();
    const int code = backup.executeStep(pages);
    if (code == SQLITE_DONE) return;
    if (code == SQLITE_OK) pace.learn(pages, Clock::now() - start);
    const int left = backup.getRemainingPageCount();
    // Somebody wrote since the last slice, and SQLite began anew.
    if (left >= left_before) {
      if (++restarts > kMostRestarts) {
        throw Error(ErrorKind::kBusy, Retry::kLater,
                    "the application writes too often for a backup in rollback-journal mode",
                    {.object = source.string(), .next = "pause the application for a moment"});
      }
      slice = std::min(slice * 2, kLongestSlice);
    }
    left_before = left;
    std::this_thread::sleep_for(kGap);  // the writers' turn
  }
}

void copy_database(const std::filesystem::path& source, const std::filesystem::path& copy_path) {
  SQLite::Database from = open_database(source, SqliteUse::kRead);
  from.setBusyTimeout(kBusyMs);
  SQLite::Database to(copy_path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  to.exec("PRAGMA synchronous = OFF");  // synced as a whole at the end
  SQLite::Backup backup(to, from);
  if (!in_wal_mode(from)) return copy_in_slices(backup, source);
  // One snapshot from beginning to end; in WAL mode nobody waits for it.
  from.exec("BEGIN");
  from.execAndGet("SELECT count(*) FROM sqlite_schema");
  while (backup.executeStep(1'024) != SQLITE_DONE) {
  }
  from.exec("COMMIT");
}

void check(const std::filesystem::path& path) {
  // Immutable: a copy of a database in WAL mode would otherwise get a -wal and a -shm.
  SQLite::Database database("file:" + path.string() + "?immutable=1",
                            SQLite::OPEN_READONLY | SQLite::OPEN_URI);
  if (database.execAndGet("PRAGMA quick_check(1)").getString() == "ok") return;
  // SQLite 3.40's quick check sees NULLs that are not there in a table WITHOUT ROWID whose key has
  // its columns in another order; the thorough one does not.
  const std::string verdict = database.execAndGet("PRAGMA integrity_check(1)").getString();
  if (verdict == "ok") return;
  throw Error(ErrorKind::kData, Retry::kNever, "the backup does not pass its check: " + verdict,
              {.object = path.string(),
               .next = "run PRAGMA integrity_check on the application's own database"});
}

/// Hashes the copy, which SQLite has closed, and makes it durable.
void seal(const std::filesystem::path& path, BackupManifest& manifest) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) fail_with_errno(path, "open");
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> buffer(std::size_t{1} << 20);
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_with_errno(path, "read");
    if (n == 0) break;
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<std::size_t>(n));
    manifest.bytes += static_cast<std::uint64_t>(n);
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  manifest.xxh3 = fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  failpoint("sqlite.backup.sync.before");
  if (::fsync(fd.get()) != 0) fail_with_errno(path, "fsync");
  failpoint("sqlite.backup.sync.after");
}

void put_in_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  failpoint("sqlite.backup.rename.before");
  if (::rename(from.c_str(), to.c_str()) != 0) fail_with_errno(to, "rename");
  failpoint("sqlite.backup.rename.after");
  const auto folder = to.has_parent_path() ? to.parent_path() : std::filesystem::path(".");
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  failpoint("sqlite.backup.folder_sync.before");
  if (!fd || ::fsync(fd.get()) != 0) fail_with_errno(folder, "fsync folder");
  failpoint("sqlite.backup.folder_sync.after");
}

std::string manifest_json(const BackupManifest& manifest) {
  std::string out = "{\"source\":";
  append_json_string(out, manifest.source.string());
  out += ",\"file\":";
  append_json_string(out, manifest.file.filename().string());
  return out + fmt::format(",\"bytes\":{},\"xxh3_128\":\"{}\",\"made_at\":\"{}\"}}\n",
                           manifest.bytes, manifest.xxh3, manifest.made_at);
}

/// What is left of a copy that did not come to its end goes away with it.
class Temporary {
 public:
  explicit Temporary(std::filesystem::path path) : path_(std::move(path)) { remove(); }
  ~Temporary() { remove(); }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  void remove() noexcept {
    for (const char* suffix : {"", "-journal", "-wal", "-shm"}) {
      ::unlink((path_.string() + suffix).c_str());
    }
  }
  std::filesystem::path path_;
};

}  // namespace

BackupManifest backup_sqlite(const std::filesystem::path& source,
                             const std::filesystem::path& destination) {
  BackupManifest manifest;
  manifest.source = source;
  manifest.file = destination;
  manifest.made_at = utc_text(std::chrono::system_clock::now());
  auto manifest_path = destination;
  manifest_path.replace_extension(".json");
  const Temporary temporary(destination.string() + ".tmp");
  try {
    copy_database(source, temporary.path());
    if (::chmod(temporary.path().c_str(), 0600) != 0) fail_with_errno(temporary.path(), "chmod");
    check(temporary.path());
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, source);
  }
  seal(temporary.path(), manifest);
  // A manifest of the backup that is replaced must not vouch for this one.
  if (::unlink(manifest_path.c_str()) != 0 && errno != ENOENT) {
    fail_with_errno(manifest_path, "unlink");
  }
  put_in_place(temporary.path(), destination);
  replace_file(manifest_path, manifest_json(manifest), 0600);
  return manifest;
}

}  // namespace switchback
