// Tells the source when to look at files again. inotify on every folder that a pattern may match
// in, those that come later included, debounced; where a file system has no inotify, or its queue
// overflowed, a poll. What it says is a hint: files may have changed without a word, and a look may
// find everything as it was. Used by one thread, except for wake().
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "state/base/deadline.h"
#include "state/base/unique_fd.h"
#include "state/base/wake.h"
#include "state/model/document_map.h"

namespace switchback {

struct WatchTimes {
  std::chrono::milliseconds debounce{20};       // quiet after an event before a look
  std::chrono::milliseconds at_most{200};       // but no later than this after the first event
  std::chrono::milliseconds poll{1'000};        // stamps of all files, events or not
  std::chrono::milliseconds reconcile{60'000};  // contents of all files
};

class FilesWatch {
 public:
  enum class Outcome {
    kStamps,    // look at the stamps of all files
    kContents,  // read all files: once in a while, and at the start
    kWoken,     // wake() was called
    kDeadline,
  };

  FilesWatch(std::shared_ptr<const DocumentMap> documents, WatchTimes times);

  Outcome wait(Deadline deadline);
  /// Call it before each look: what happens from now on wakes the next wait. Folders that came
  /// since are watched from here on.
  void drain();
  /// How long the look took, and whether files were still changing. Looks that find nothing are
  /// rationed, so that they never cost more than a thousandth of a core.
  void looked(std::chrono::nanoseconds took, bool contents, bool soon_again);
  /// Like wait(), but only wake() and the deadline end it.
  Outcome pause(Deadline deadline);
  /// Any thread.
  void wake() noexcept { wake_.set(); }

 private:
  using Time = Deadline::Clock::time_point;

  void watch_folders();
  void watch_below(const Collection& collection, const std::string& below);

  const std::shared_ptr<const DocumentMap> documents_;
  const WatchTimes times_;
  UniqueFd inotify_;
  Wake wake_;
  std::map<std::string, int> folders_;  // absolute path -> watch descriptor
  bool folders_changed_ = true;
  Time next_stamps_{}, next_contents_{};
};

}  // namespace switchback
