#include "bridge/child_process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "state/base/error.h"
#include "state/base/file_calls.h"
#include "state/base/unique_fd.h"

namespace switchback {
namespace {

int exit_code(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct User {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
};

User find_user(const std::string& name) {
  const passwd* found = ::getpwnam(name.c_str());
  if (found == nullptr) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "there is no such user", {.object = name});
  }
  User user{found->pw_uid, found->pw_gid, std::vector<gid_t>(64)};
  int count = static_cast<int>(user.groups.size());
  if (::getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) count = 0;
  user.groups.resize(static_cast<std::size_t>(count));
  return user;
}

struct Plan {
  std::vector<char*> argv;
  UniqueFd input;
  UniqueFd output;
  std::optional<User> user;
  int at_our_death;
  pid_t parent;
};

bool change_user(const User& user) {
  return ::setgroups(user.groups.size(), user.groups.data()) == 0 && ::setgid(user.gid) == 0 &&
         ::setuid(user.uid) == 0;
}

// Between fork() and exec() in a process with threads: async-signal-safe calls only.
[[noreturn]] void become(const Plan& plan, int report) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  bool ready = ::dup2(plan.input.get(), STDIN_FILENO) >= 0;
  if (plan.output) {
    ready = ready && ::dup2(plan.output.get(), STDOUT_FILENO) >= 0 &&
            ::dup2(plan.output.get(), STDERR_FILENO) >= 0;
  }
  if (plan.user) ready = ready && change_user(*plan.user);
  // After the change of user, which forgets it: prctl(2).
  ready = ready && ::prctl(PR_SET_PDEATHSIG, plan.at_our_death) == 0;
  // A parent that died before that sends nothing any more.
  if (::getppid() != plan.parent) ::_exit(127);
  if (ready) ::execvp(plan.argv[0], plan.argv.data());
  const int code = errno;
  [[maybe_unused]] const auto told = ::write(report, &code, sizeof code);
  ::_exit(127);
}

// What the child says before it becomes the program: nothing if it did, else why not.
int failure(int report) {
  int code = 0;
  ssize_t got = 0;
  do {
    got = ::read(report, &code, sizeof code);
  } while (got < 0 && errno == EINTR);
  return got == sizeof code ? code : 0;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const ChildOptions& options) {
  std::vector<std::string> words = command;
  Plan plan{.argv = {},
            .input = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
            .output = {},
            .user = {},
            .at_our_death = options.at_our_death,
            .parent = ::getpid()};
  for (auto& word : words) plan.argv.push_back(word.data());
  plan.argv.push_back(nullptr);
  if (!options.user.empty()) plan.user = find_user(options.user);
  if (!options.log.empty()) {
    plan.output =
        UniqueFd(::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!plan.output) fail_with_errno(options.log, "open");
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail_with_errno(command.front(), "pipe");
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  pid_ = ::fork();
  if (pid_ == 0) become(plan, writing.get());
  const int failed = pid_ < 0 ? errno : (writing.reset(), failure(reading.get()));
  if (failed == 0) return;
  wait();
  throw Error(ErrorKind::kUsage, Retry::kNever,
              std::string("cannot be started: ") + std::strerror(failed),
              {.object = command.front()});
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
