// One child process: started, waited for, and ended with its owner; if we are killed, the kernel
// ends it for us. No shell is involved, so no argument needs quoting. One thread: the child ends
// with the thread that made it.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "state/base/deadline.h"

namespace switchback {

struct ChildOptions {
  /// Output and errors are appended here; empty: they go where ours go.
  std::filesystem::path log = {};
  /// Whom it runs as, which only root can choose; empty: as ourselves.
  std::string user = {};
  int at_our_death = SIGKILL;
};

class ChildProcess {
 public:
  /// Standard input is /dev/null. Throws Error(kUsage) if the program cannot be started.
  ChildProcess(const std::vector<std::string>& command, const ChildOptions& options);
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
