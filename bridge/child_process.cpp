#include "bridge/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "state/base/error.h"
#include "state/base/unique_fd.h"

extern char** environ;

namespace switchback {
namespace {

int exit_code(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command,
                           const std::filesystem::path& log) {
  std::vector<std::string> words = command;
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (!log.empty()) {
    ::posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                       0644);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
  }
  const int failed = ::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    pid_ = -1;
    throw Error(ErrorKind::kUsage, Retry::kNever,
                std::string("cannot be started: ") + std::strerror(failed),
                {.object = command.front()});
  }
}

ChildProcess::~ChildProcess() {
  if (!running()) return;
  signal(SIGKILL);
  wait();
}

void ChildProcess::signal(int number) noexcept {
  if (pid_ > 0 && !status_) ::kill(pid_, number);
}

std::optional<int> ChildProcess::reap(int flags) {
  if (status_ || pid_ < 0) return status_;
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid_, &status, flags);
  } while (got < 0 && errno == EINTR);
  if (got == pid_) status_ = exit_code(status);
  return status_;
}

bool ChildProcess::running() {
  return pid_ > 0 && !reap(WNOHANG);
}

int ChildProcess::wait() {
  return reap(0).value_or(-1);
}

std::optional<int> ChildProcess::wait(Deadline deadline) {
  // A pidfd becomes readable when the process ends: pidfd_open(2).
  const UniqueFd ended(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  pollfd look{ended.get(), POLLIN, 0};
  while (running() && !deadline.passed()) {
    ::poll(&look, 1, static_cast<int>(deadline.remaining().count()));
  }
  return status_;
}

}  // namespace switchback
