// One child process: started, waited for, and ended with its owner. No shell is involved, so no
// argument needs quoting. One thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "state/base/deadline.h"

namespace switchback {

class ChildProcess {
 public:
  /// Standard input is /dev/null; output and errors go to `log` (appended), or to ours if empty.
  /// Throws Error(kUsage) if the program cannot be started.
  ChildProcess(const std::vector<std::string>& command, const std::filesystem::path& log);
  /// Ends a child that still runs with SIGKILL.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void signal(int number) noexcept;
  /// The exit status (128 + N for a signal N); nullopt if it still runs at the deadline.
  std::optional<int> wait(Deadline deadline);
  /// Waits for ever.
  int wait();
  bool running();

 private:
  std::optional<int> reap(int flags);

  pid_t pid_ = -1;
  std::optional<int> status_;
};

}  // namespace switchback
