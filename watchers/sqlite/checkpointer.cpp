#include "watchers/sqlite/checkpointer.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/mutation.h"
#include "state/base/unique_fd.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

// Between two syncs of a steady stream: commits gather, and the writer meets fewer stalled writes.
constexpr std::chrono::milliseconds kGatherCommits{4};
// At 4 KiB a page: the thread copies from 32 MiB on, so that hot pages are copied once for many
// commits, and the writer helps from 96 MiB on even if the thread cannot catch up with it.
constexpr int kCopyFromPages = 8'192;
constexpr int kHelpFromPages = 3 * kCopyFromPages;
constexpr int kShortPages = 1'024;

}  // namespace

std::unique_ptr<Checkpointer> Checkpointer::start(const std::filesystem::path& path,
                                                  const Position& applied) {
  try {
    auto made =
        std::make_unique<Checkpointer>(open_database(path, SqliteUse::kWrite), path, applied);
    // The handle of the -wal exists from the first read on.
    made->database_.execAndGet("SELECT count(*) FROM sqlite_schema");
    made->sync_folder();
    // A former process may have left commits whose sync failed; their pages, copied and synced
    // anew, no longer depend on it.
    made->checkpoint();
    made->sync();
    made->durable_ = applied;
    made->thread_ = std::jthread([self = made.get()](std::stop_token stop) {
      pthread_setname_np(pthread_self(), "sqlite-sync");
      self->run(std::move(stop));
    });
    return made;
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path);
  }
}

Checkpointer::Checkpointer(SQLite::Database database, std::filesystem::path path,
                           const Position& applied)
    : database_(std::move(database)), path_(std::move(path)), committed_(applied) {}

bool Checkpointer::committed(const Position& position, int wal_pages) {
  const std::lock_guard lock(mutex_);
  committed_ = position;
  if (mutated("position-before-sync")) durable_ = position;
  if (wal_pages < wal_pages_) copied_pages_ = 0;  // it began anew
  wal_pages_ = wal_pages;
  changed_.notify_all();
  if (wal_pages < kCopyFromPages) return false;
  return wal_pages - copied_pages_ < kShortPages || wal_pages >= kHelpFromPages;
}

Position Checkpointer::durable() {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
  return durable_;
}

void Checkpointer::run(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [&] { return committed_ != durable_; })) {
    const Position covered = committed_;
    const int uncopied = wal_pages_ - copied_pages_;
    lock.unlock();
    try {
      sync();
      lock.lock();
      durable_ = covered;
      lock.unlock();
      if (uncopied >= kCopyFromPages) checkpoint();
      lock.lock();
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      error_ = std::current_exception();
      return;
    }
    changed_.wait_for(lock, stop, kGatherCommits, [] { return false; });
  }
}

void Checkpointer::sync() {
  sqlite3_file* wal = nullptr;
  sqlite3_file_control(database_.getHandle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (wal == nullptr || wal->pMethods == nullptr) {
    throw Error(ErrorKind::kUnreachable, Retry::kLater, "the database left WAL mode",
                {.object = path_.string()});
  }
  failpoint("sqlite.sink.sync.before");
  const int code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) {
    throw Error(ErrorKind::kDisk, Retry::kLater,
                std::string("the -wal could not be synced: ") + sqlite3_errstr(code),
                {.object = path_.string(), .next = "check the disk that holds the database"});
  }
  failpoint("sqlite.sink.sync.after");
}

/// Whoever made the -wal need not have made its name durable.
void Checkpointer::sync_folder() {
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  failpoint("sqlite.sink.folder_sync.before");
  if (!fd || ::fsync(fd.get()) != 0) {
    fail_with_errno(folder, "fsync folder");
  }
  failpoint("sqlite.sink.folder_sync.after");
}

void Checkpointer::checkpoint() {
  int pages = 0;
  int copied = 0;
  failpoint("sqlite.sink.checkpoint.before");
  const int code = sqlite3_wal_checkpoint_v2(database_.getHandle(), "main",
                                             SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
  // BUSY: somebody else is at it.
  if (code != SQLITE_OK && code != SQLITE_BUSY) {
    throw_sqlite_error(SQLite::Exception(database_.getHandle(), code), path_);
  }
  failpoint("sqlite.sink.checkpoint.after");
  const std::lock_guard lock(mutex_);
  if (code == SQLITE_OK && copied >= 0) copied_pages_ = copied;
}

}  // namespace switchback
