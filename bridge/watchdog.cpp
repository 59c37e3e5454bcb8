#include "bridge/watchdog.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "state/base/error.h"

namespace switchback {
namespace {

// Runs in the child of a process with threads, so it may call async-signal-safe functions only. It
// leaves by _exit: closing inherited descriptors in a child drops none of the parent's SQLite locks
// (POSIX locks belong to the process that took them).
[[noreturn]] void guard(int lifeline, pid_t parent, int wait_ms) {
  // Keep nothing of the parent's but the lifeline: its lock on the state directory above all, which
  // would outlive it here for a moment and turn its successor away.
  const auto kept = static_cast<unsigned>(lifeline);
  if (kept > 0) ::close_range(0, kept - 1, 0);
  ::close_range(kept + 1, ~0U, 0);
  pollfd wait{lifeline, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&wait, 1, wait_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) ::kill(parent, SIGKILL);
  ::_exit(0);
}

}  // namespace

void Watchdog::watch(Deadline deadline, std::chrono::milliseconds grace) {
  stand_down();
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw Error(ErrorKind::kInternal, Retry::kLater, "no pipe for the flip's watchdog");
  }
  UniqueFd reading(ends[0]);
  lifeline_ = UniqueFd(ends[1]);
  const pid_t parent = ::getpid();
  const auto limit = static_cast<int>((deadline.remaining() + grace).count());
  child_ = ::fork();
  if (child_ == 0) {
    ::close(ends[1]);
    guard(ends[0], parent, limit);
  }
  if (child_ < 0) {
    lifeline_.reset();
    throw Error(ErrorKind::kInternal, Retry::kLater, "no process for the flip's watchdog");
  }
}

void Watchdog::stand_down() noexcept {
  if (child_ < 0) return;
  lifeline_.reset();
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
  child_ = -1;
}

}  // namespace switchback
