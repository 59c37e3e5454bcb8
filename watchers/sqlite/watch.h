// Tells a SQLite source when to look at its database again. inotify on the database, its -wal, its
// -journal and their folder says that somebody wrote; no file is ever opened (closing a descriptor
// would drop SQLite's own locks). An event may come before the commit it belongs to is visible:
// with synchronous=FULL an fsync lies between the write to the -wal and the commit. So after each
// event looks follow at growing distances, up to the slow poll that is also the safety net for
// events that never come. Used by one thread, except for wake().
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>

#include "state/base/deadline.h"
#include "state/base/unique_fd.h"
#include "state/base/wake.h"

namespace switchback {

class StoreWatch {
 public:
  enum class Outcome {
    kLook,   // somebody wrote, or the next look is due
    kWoken,  // wake() was called
    kDeadline,
  };

  /// Throws Error(kInternal) if the system has no inotify instance left.
  explicit StoreWatch(const std::filesystem::path& database);

  Outcome wait(Deadline deadline);
  /// Takes the events that are pending. Call it before each look, so that what is written during
  /// the look wakes the next wait.
  void drain();
  /// What a look found; decides when the next one is due if no event comes.
  void looked(bool found);
  /// Like wait(), but only wake() and the deadline end it.
  Outcome pause(Deadline deadline);

  /// Any thread. A waiting wait() or pause() returns kWoken; if none is waiting, the next does.
  void wake() noexcept { wake_.set(); }

 private:
  void watch_folder();
  void watch_files();

  std::filesystem::path folder_;
  UniqueFd inotify_;
  Wake wake_;
  std::string database_name_;
  std::map<std::string, int> files_;  // name -> watch descriptor, -1 if the file is not there
  int folder_watch_ = -1;
  std::chrono::microseconds step_{0};
  Deadline::Clock::time_point next_look_{};
  Deadline::Clock::time_point next_rewatch_{};
};

}  // namespace switchback
