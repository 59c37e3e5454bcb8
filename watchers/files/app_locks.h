// The application's own lock files, where a collection names them: while they are held, an
// application that honours them waits with its writes. What such a file means differs, so both
// customs are kept: it is made where it is not there (whoever takes a lock by making the file
// waits), and locked by flock(2) and fcntl(2). Part of the gate. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "state/base/deadline.h"
#include "state/base/unique_fd.h"

namespace switchback {

class AppLocks {
 public:
  AppLocks() = default;
  ~AppLocks() { release(); }
  AppLocks(const AppLocks&) = delete;
  AppLocks& operator=(const AppLocks&) = delete;

  /// False: somebody held one of them until the deadline; then none is held. Throws Error(kDisk).
  bool take(const std::vector<std::filesystem::path>& files, Deadline deadline);
  void release() noexcept;

  /// Whether somebody else holds it now. Changes nothing.
  static bool held(const std::filesystem::path& file);

 private:
  struct Lock {
    std::filesystem::path path;
    UniqueFd fd;
    bool made = false;
  };
  static bool take_one(Lock& lock);

  std::vector<Lock> locks_;
};

}  // namespace switchback
