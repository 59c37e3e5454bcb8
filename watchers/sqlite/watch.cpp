#include "watchers/sqlite/watch.h"

#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "state/base/error.h"

namespace switchback {
namespace {

using std::chrono::microseconds;

// How soon to look again when an event came but nothing was visible yet, and when something was.
constexpr microseconds kFirstStep{250};
constexpr microseconds kStepAfterChange{2'000};
constexpr microseconds kSlowPoll{1'000'000};
// A watch is lost when its file goes and cannot be made while it is not there.
constexpr microseconds kRewatchEvery{1'000'000};

// The journal's creation is no news: nothing is committed yet. Its end is the commit.
constexpr std::uint32_t kFolderEvents =
    IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr std::uint32_t kFileEvents = IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF;

}  // namespace

StoreWatch::StoreWatch(const std::filesystem::path& database)
    : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!inotify_) {
    throw Error(ErrorKind::kInternal, Retry::kLater,
                std::string("inotify_init1: ") + std::strerror(errno),
                {.next = "raise fs.inotify.max_user_instances"});
  }
  // SQLite puts -wal and -journal beside the file that a symbolic link leads to.
  std::error_code code;
  std::filesystem::path real = std::filesystem::canonical(database, code);
  if (code) real = std::filesystem::absolute(database);
  folder_ = real.parent_path();
  database_name_ = real.filename().string();
  for (const char* suffix : {"", "-wal", "-journal"}) files_[database_name_ + suffix] = -1;
  watch_folder();
  watch_files();
}

void StoreWatch::watch_folder() {
  folder_watch_ = ::inotify_add_watch(inotify_.get(), folder_.c_str(), kFolderEvents);
}

// Adding a watch that exists already returns the same descriptor and changes nothing.
void StoreWatch::watch_files() {
  next_rewatch_ = Deadline::Clock::now() + kRewatchEvery;
  if (folder_watch_ < 0) watch_folder();
  for (auto& [name, watch] : files_) {
    if (watch >= 0) continue;
    watch = ::inotify_add_watch(inotify_.get(), (folder_ / name).c_str(), kFileEvents);
  }
}

void StoreWatch::drain() {
  alignas(inotify_event) std::array<char, 4096> buffer;
  bool any = false;
  for (;;) {
    const ssize_t n = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (n <= 0) break;
    any = true;
    for (const char* at = buffer.data(); at < buffer.data() + n;) {
      inotify_event event;
      std::memcpy(&event, at, sizeof event);
      at += sizeof event + event.len;
      if ((event.mask & IN_IGNORED) == 0) continue;
      if (event.wd == folder_watch_) folder_watch_ = -1;
      for (auto& [name, watch] : files_) {
        if (watch == event.wd) watch = -1;
      }
    }
  }
  if (any) {
    step_ = kFirstStep;
    next_look_ = Deadline::Clock::now() + step_;
  }
  if (Deadline::Clock::now() >= next_rewatch_) watch_files();
}

void StoreWatch::looked(bool found) {
  step_ = found ? kStepAfterChange : std::clamp(step_ * 2, kFirstStep, kSlowPoll);
  next_look_ = Deadline::Clock::now() + step_;
}

StoreWatch::Outcome StoreWatch::wait(Deadline deadline) {
  const auto end = wake_.wait(std::min(deadline.at(), next_look_), inotify_.get());
  if (end == Wake::End::kWoken) return Outcome::kWoken;
  const bool look = end == Wake::End::kReadable || Deadline::Clock::now() >= next_look_;
  return look ? Outcome::kLook : Outcome::kDeadline;
}

StoreWatch::Outcome StoreWatch::pause(Deadline deadline) {
  return wake_.wait(deadline.at()) == Wake::End::kWoken ? Outcome::kWoken : Outcome::kDeadline;
}

}  // namespace switchback
