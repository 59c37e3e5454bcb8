// Tells the source when to look at files again, and at which. inotify on every folder that a
// pattern may match in, those that come later included, debounced; where a file system has no
// inotify, or its queue overflowed, a poll. What it says is a hint: files may have changed without
// a word, and a named file may be as it was. Used by one thread, except for wake().
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "state/base/deadline.h"
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
  enum class Outcome { kLook, kWoken, kDeadline };

  FilesWatch(std::shared_ptr<const DocumentMap> documents, WatchTimes times);
  ~FilesWatch();

  Outcome wait(Deadline deadline);
  /// After kLook: the files named since the last call (absolute paths); `everything` if events were
  /// lost, so that no name can be trusted to be the only one.
  struct Hints {
    std::set<std::string> files;
    bool everything = false;  // look at all stamps
    bool reconcile = false;   // read all contents
  };
  Hints take();
  /// Any thread.
  void wake() noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace switchback
