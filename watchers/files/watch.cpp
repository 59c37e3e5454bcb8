#include "watchers/files/watch.h"

#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kEvents = IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE |
                                  IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF |
                                  IN_MOVE_SELF | IN_ONLYDIR;
constexpr std::chrono::milliseconds kSoon{25};
constexpr int kShareOfACore = 1000;

}  // namespace

// Without inotify (none left, or not supported) the poll does the work.
FilesWatch::FilesWatch(std::shared_ptr<const DocumentMap> documents, WatchTimes times)
    : documents_(std::move(documents)),
      times_(times),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {}

void FilesWatch::watch_below(const Collection& collection, const std::string& below) {
  const fs::path folder = collection.root / below;
  // Adding a watch that exists returns the same descriptor and changes nothing.
  const int watch = ::inotify_add_watch(inotify_.get(), folder.c_str(), kEvents);
  if (watch < 0) return;
  folders_[folder.string()] = watch;
  std::error_code code;
  for (fs::directory_iterator entry(folder, code), end; !code && entry != end;
       entry.increment(code)) {
    std::error_code ignored;
    if (entry->symlink_status(ignored).type() != fs::file_type::directory) continue;
    const std::string name = entry->path().filename().string();
    const std::string path = below.empty() ? name : below + "/" + name;
    if (std::any_of(collection.files.begin(), collection.files.end(),
                    [&](const FilePattern& pattern) { return may_hold_matches(pattern, path); })) {
      watch_below(collection, path);
    }
  }
}

// A root that is not there yet is seen in the nearest folder above it that is.
void FilesWatch::watch_folders() {
  if (!inotify_ || !folders_changed_) return;
  folders_changed_ = false;
  for (const Collection& collection : documents_->collections) {
    fs::path root = collection.root;
    std::error_code code;
    if (fs::is_directory(root, code)) {
      watch_below(collection, "");
      continue;
    }
    while (root.has_relative_path() && !fs::is_directory(root, code)) root = root.parent_path();
    const int watch = ::inotify_add_watch(inotify_.get(), root.c_str(),
                                          IN_CREATE | IN_MOVED_TO | IN_MASK_ADD | IN_ONLYDIR);
    if (watch >= 0) folders_[root.string()] = watch;
  }
}

void FilesWatch::drain() {
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t n = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (n <= 0) break;
    for (const char* at = buffer.data(); at < buffer.data() + n;) {
      inotify_event event;
      std::memcpy(&event, at, sizeof event);
      at += sizeof event + event.len;
      constexpr std::uint32_t kFolderNews =
          IN_Q_OVERFLOW | IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF;
      if ((event.mask & kFolderNews) != 0 || (event.mask & IN_ISDIR) != 0) folders_changed_ = true;
    }
  }
  watch_folders();
}

void FilesWatch::looked(std::chrono::nanoseconds took, bool contents, bool soon_again) {
  const Time now = Deadline::Clock::now();
  const auto ration = [&](std::chrono::milliseconds least) {
    return now + std::max(std::chrono::nanoseconds(least), took * kShareOfACore);
  };
  next_stamps_ = soon_again ? now + kSoon : ration(times_.poll);
  if (contents) {
    next_contents_ = ration(times_.reconcile);
    // Where no event comes, folders are looked for at this pace.
    folders_changed_ = true;
  }
}

FilesWatch::Outcome FilesWatch::wait(Deadline deadline) {
  const auto due = [&]() -> std::optional<Outcome> {
    const Time now = Deadline::Clock::now();
    if (now >= next_contents_) return Outcome::kContents;
    if (now >= next_stamps_) return Outcome::kStamps;
    return std::nullopt;
  };
  const Time until = std::min({deadline.at(), next_stamps_, next_contents_});
  Wake::End end = wake_.wait(until, inotify_.get());
  if (end == Wake::End::kWoken) return Outcome::kWoken;
  if (end == Wake::End::kTime) return due().value_or(Outcome::kDeadline);
  // Writers come in bursts: wait until they pause, but not for ever.
  const Time at_most = Deadline::Clock::now() + times_.at_most;
  while (end == Wake::End::kReadable && Deadline::Clock::now() < at_most) {
    drain();
    const Time quiet = std::min(Deadline::Clock::now() + times_.debounce, at_most);
    end = wake_.wait(quiet, inotify_.get());
  }
  // The look comes first, but whoever called wake() must not wait for another event.
  if (end == Wake::End::kWoken) wake_.set();
  return due() == Outcome::kContents ? Outcome::kContents : Outcome::kStamps;
}

FilesWatch::Outcome FilesWatch::pause(Deadline deadline) {
  return wake_.wait(deadline.at()) == Wake::End::kWoken ? Outcome::kWoken : Outcome::kDeadline;
}

}  // namespace switchback
