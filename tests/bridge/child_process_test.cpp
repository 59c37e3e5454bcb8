#include "bridge/child_process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "state/base/error.h"
#include "state/base/unique_fd.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

int run(const std::vector<std::string>& command) {
  return ChildProcess(command, {}).wait();
}

TEST(ChildProcessTest, TellsHowItEnded) {
  EXPECT_EQ(run({"true"}), 0);
  EXPECT_EQ(run({"sh", "-c", "exit 7"}), 7);
  ChildProcess sleeper({"sleep", "600"}, {});
  EXPECT_TRUE(sleeper.running());
  EXPECT_EQ(sleeper.wait(Deadline::in(milliseconds(20))), std::nullopt);
  sleeper.signal(SIGTERM);
  EXPECT_EQ(sleeper.wait(Deadline::in(seconds(30))), 128 + SIGTERM);
}

TEST(ChildProcessTest, SaysWhatCannotBeStarted) {
  try {
    run({"/nowhere/program"});
    FAIL() << "it started";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_NE(std::string(error.what()).find("/nowhere/program"), std::string::npos);
  }
  EXPECT_THROW(ChildProcess({"true"}, {.log = "/nowhere/log"}), Error);
  EXPECT_THROW(ChildProcess({"true"}, {.user = "nobody of this name"}), Error);
}

TEST(ChildProcessTest, OutputGoesToTheLogAsTheUserWhoWasNamed) {
  std::string log = ::testing::TempDir() + "child-XXXXXX";
  ::close(::mkstemp(log.data()));
  const std::string user = ::geteuid() == 0 ? "nobody" : "";
  EXPECT_EQ(ChildProcess({"sh", "-c", "echo one; id -un >&2"}, {.log = log, .user = user}).wait(),
            0);
  std::ostringstream text;
  text << std::ifstream(log).rdbuf();
  ::unlink(log.c_str());
  EXPECT_EQ(text.str().substr(0, 4), "one\n");
  if (!user.empty()) {
    EXPECT_EQ(text.str(), "one\nnobody\n");
  }
}

// Starts `sleep` from a process that kills itself; the read end of a pipe that only `sleep` and
// that process hold.
UniqueFd orphan(const ChildOptions& options) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  UniqueFd reading(ends[0]);
  const UniqueFd writing(ends[1]);
  const pid_t parent = ::fork();
  if (parent == 0) {
    const ChildProcess child({"sh", "-c", "echo ready; exec sleep 600"}, options);
    // Whoever is killed before its child runs proves nothing.
    while (std::filesystem::file_size(options.log) == 0) std::this_thread::yield();
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(parent, nullptr, 0);
  return reading;
}

TEST(ChildProcessTest, EndsWithAParentThatIsKilled) {
  for (const std::string user : {"", "nobody"}) {
    if (!user.empty() && ::geteuid() != 0) continue;
    std::string log = ::testing::TempDir() + "orphan-XXXXXX";
    ::close(::mkstemp(log.data()));
    const UniqueFd reading = orphan({.log = log, .user = user});
    ::unlink(log.c_str());
    pollfd look{reading.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&look, 1, 60'000), 1) << "it outlived its parent, run as '" << user << "'";
    EXPECT_NE(look.revents & POLLHUP, 0);
  }
}

}  // namespace
}  // namespace switchback
