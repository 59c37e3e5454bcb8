// The gate of a store of files: what holds writers off, and what proves that nobody writes any
// more. The application's part is played by a thread with nobody's rights, since mode bits keep out
// no root.
#include "watchers/files/gate.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/mman.h>

#include <atomic>
#include <thread>

#include "state/base/unique_fd.h"
#include "tests/watchers/files/gate_fixture.h"
#include "watchers/files/mapping_text.h"
#include "watchers/files/path_pattern.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Door = GateState::Door;

namespace fs = std::filesystem;

TEST_F(FilesGateTest, ClosingTakesTheWriteBitsAndOpeningGivesThemBack) {
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kOpen, 1}));
  close_at(2);
  expect_fenced();
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kClosed, 2}));
  gate()->open(3, {});
  expect_modes_of_the_beginning();
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kOpen, 3}));
}

TEST_F(FilesGateTest, AFenceThatSomebodyTookOffIsTorn) {
  close_at(2);
  ::chmod(path("a").c_str(), 0666);
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kTorn, 2}));
}

TEST_F(FilesGateTest, ClosingAgainPutsATornFenceBack) {
  close_at(2);
  ::chmod(path("a").c_str(), 0666);
  close_at(2);
  expect_fenced();
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kClosed, 2}));
  gate()->open(3, {});
  expect_modes_of_the_beginning();
}

TEST_F(FilesGateTest, LockingAClosedGateLeavesTheFenceUp) {
  close_at(2);
  const auto gate = this->gate();
  ASSERT_TRUE(gate->lock(soon()));
  expect_fenced();
  gate->unlock();
  expect_fenced();
  EXPECT_EQ(gate->inspect(soon()), (GateState{Door::kClosed, 2}));
}

TEST_F(FilesGateTest, RenewingPutsATornFenceBack) {
  close_at(2);
  ::chmod(path("b").c_str(), 0644);
  store_.write("sub/b.json", R"([{"id":2,"name":"astray"}])");
  endpoint()->renew();
  expect_fenced();
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kClosed, 2}));
  gate()->open(3, {});
  expect_modes_of_the_beginning();
}

TEST_F(FilesGateTest, AClosedGateThatKnowsOfNoFenceIsTorn) {
  close_at(2);
  const auto ledger = FilesLedger::open(store_.ledger(), false);
  lower_fence(*ledger, [](const std::string&) { return true; });
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kTorn, 2}));
  ::chmod(path("a").c_str(), 0444);
  ::chmod(path("b").c_str(), 0404);
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kTorn, 2})) << "nobody knows their modes";
  close_at(2);
  expect_fenced();
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kClosed, 2}));
}

TEST_F(FilesGateTest, BehindTheFenceOfALostLedgerTheOwnerMayWriteAgain) {
  close_at(2);
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(store_.ledger().string() + suffix);
  ::chmod(path("b").c_str(), 0606);  // somebody was impatient
  endpoint()->install();
  close_at(2);
  expect_fenced();
  gate()->open(3, {});
  EXPECT_EQ(mode(path("a")), 0644u);
  EXPECT_EQ(mode(path("b")), 0606u);
  EXPECT_EQ(mode(store_.root() / "sub"), 0755u);
  EXPECT_EQ(mode(store_.root()), 0755u);
}

TEST_F(FilesGateTest, AFileThatNobodyWroteToStaysSo) {
  ::chmod(path("a").c_str(), 0440);
  ::chmod(path("b").c_str(), 0400);
  close_at(2);
  gate()->open(3, {});
  EXPECT_EQ(mode(path("a")), 0440u) << "replaced, and not written to";
  EXPECT_EQ(mode(path("b")), 0400u);
  EXPECT_EQ(mode(store_.root() / "sub"), 0777u);
}

TEST_F(FilesGateTest, AWriteAfterTheMarkKeepsTheGateOpen) {
  const auto gate = this->gate();
  ASSERT_TRUE(gate->lock(soon()));
  store_.write("sub/a.json", R"([{"id":1,"name":"late"}])");
  EXPECT_FALSE(gate->close(2, soon()));
  expect_modes_of_the_beginning();
  gate->unlock();
  EXPECT_EQ(gate->inspect(soon()), (GateState{Door::kOpen, 1}));
  close_at(2);
}

TEST_F(FilesGateTest, AHalfWrittenFileCannotBeLocked) {
  store_.write("sub/a.json", R"([{"id":1,"na)");
  const auto gate = this->gate();
  EXPECT_FALSE(gate->lock(at_once()));
  expect_modes_of_the_beginning();
  // An obstacle only if it lasts, which the source knows: applications are at it all the time.
  EXPECT_THAT(gate->obstacles(), IsEmpty());
  store_.write("sub/a.json", R"([{"id":1,"name":"whole"}])");
  EXPECT_TRUE(gate->lock(soon()));
}

// ---- an application at work

TEST_F(FilesGateTest, AnApplicationAtWorkIsNoObstacle) {
  store_.collection().lock = ".lock";
  std::atomic<int> units = 0;
  {
    const std::jthread application([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        ::poll(nullptr, 0, 1);  // what it does between two units of work
        const UniqueFd lock(::open((store_.root() / ".lock").c_str(), O_RDWR | O_CREAT, 0666));
        if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;
        const UniqueFd file(::open(path("a").c_str(), O_WRONLY));
        ::poll(nullptr, 0, 1);
        ++units;
      }
    });
    while (units == 0) std::this_thread::yield();
    EXPECT_THAT(gate()->obstacles(), IsEmpty());
  }
  const UniqueFd lock(::open((store_.root() / ".lock").c_str(), O_RDWR));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  const auto found = gate()->obstacles();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("somebody holds the lock"));
}

TEST_F(FilesGateTest, AFolderWithoutFilesIsFencedToo) {
  store_.collection().files.push_back(parse_file_pattern("later/*/*.json"));
  const fs::path later = store_.root() / "later", inner = later / "inner";
  const fs::path other = store_.root() / "other";
  for (const auto& folder : {later, inner, other}) {
    fs::create_directory(folder);
    ::chmod(folder.c_str(), 0777);
  }
  close_at(2);
  EXPECT_EQ(mode(later), 0555u);
  EXPECT_EQ(mode(inner), 0555u);
  EXPECT_EQ(mode(other), 0777u) << "no file of the store can be made there";
  gate()->open(3, {});
  EXPECT_EQ(mode(later), 0777u);
  EXPECT_EQ(mode(inner), 0777u);
}

TEST_F(FilesGateTest, ClosingTooLateIsNotClosing) {
  const auto gate = this->gate();
  ASSERT_TRUE(gate->lock(soon()));
  EXPECT_FALSE(gate->close(2, Deadline::in(std::chrono::milliseconds(1))))
      << "the other side could not commit any more";
  expect_modes_of_the_beginning();
  gate->unlock();
  EXPECT_EQ(gate->inspect(soon()), (GateState{Door::kOpen, 1}));
}

TEST_F(FilesGateTest, CountersGoBothWays) {
  close_at(2);
  const auto counters = gate()->counters();
  ASSERT_THAT(counters, SizeIs(1));
  EXPECT_EQ(counters[0].column, "made");
  EXPECT_EQ(counters[0].value, 2);
  gate()->open(3, {{{counters[0].table, "made", 41}}});
  store_.write("sub/c.json", R"([{"id":3,"name":"c"}])");
  EXPECT_EQ(store_.rows_read().at("users(3"), "users(3, c, 42)");
}

TEST_F(FilesGateTest, AFileMadeBehindTheFenceIsFencedAndGetsItsModeWhenTheGateOpens) {
  store_.collection().files = {parse_file_pattern("sub/{/id}.json")};
  store_.collection().records = parse_records("");
  fs::remove(path("a"));
  fs::remove(path("b"));
  store_.write("sub/1.json", R"({"id":1,"name":"a"})");
  ::chmod(path("1").c_str(), 0640);
  close_at(2);
  const auto sink = store_.sink();
  sink->applied();
  store_.text().upsert("users", {"7", "new", "70"});
  store_.text().upsert("users", {"1", "changed", "UNCHANGED"});
  EXPECT_THAT(store_.apply(*sink, {1, 1, 1}), IsEmpty());
  EXPECT_EQ(mode(path("7")), 0440u);
  EXPECT_EQ(mode(path("1")), 0440u);
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kClosed, 2}));
  gate()->open(3, {});
  EXPECT_EQ(mode(path("7")), 0640u);
  EXPECT_EQ(mode(path("1")), 0640u);
}

TEST_F(FilesGateTest, RemovingTheBridgeGivesEverythingBack) {
  close_at(2);
  EXPECT_THAT(endpoint()->removal_script(), HasSubstr("chmod 666"));
  endpoint()->remove();
  expect_modes_of_the_beginning();
  endpoint()->remove();
  EXPECT_FALSE(fs::exists(store_.ledger()));
  EXPECT_EQ(endpoint()->plan_install().size(), 1u);
  endpoint()->install();
  EXPECT_THAT(endpoint()->plan_install(), IsEmpty());
  EXPECT_EQ(gate()->inspect(soon()), (GateState{Door::kOpen, 1}));
}

// ---- trap 14

TEST_F(FilesGateTest, Trap14AHeldDescriptorKeepsTheGateFromClosing) {
  const auto gate = this->gate();
  UniqueFd held(::open(path("a").c_str(), O_WRONLY));
  EXPECT_THAT(gate->obstacles(), SizeIs(1));
  ASSERT_TRUE(gate->lock(soon()));
  EXPECT_FALSE(gate->close(2, at_once())) << "it could still be written through";
  expect_modes_of_the_beginning();
  EXPECT_EQ(gate->inspect(soon()), (GateState{Door::kOpen, 1}));
  held.reset();
  gate->unlock();
  close_at(2);
}

TEST_F(FilesGateTest, Trap14AMappingKeepsTheGateFromClosing) {
  UniqueFd fd(::open(path("a").c_str(), O_RDWR));
  void* const memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  fd.reset();
  const auto gate = this->gate();
  ASSERT_TRUE(gate->lock(soon()));
  EXPECT_FALSE(gate->close(2, at_once()));
  ::munmap(memory, 4096);
  gate->unlock();
  close_at(2);
}

TEST_F(FilesGateTest, Trap14AnApplicationThatWritesItsMemoryBackIsRefused) {
  close_at(2);
  if (::geteuid() == 0) ::setfsuid(65534);
  const bool opened = ::open(path("a").c_str(), O_WRONLY | O_TRUNC) >= 0;
  const bool replaced = ::rename(path("b").c_str(), path("a").c_str()) == 0;
  const bool made = ::open(path("new").c_str(), O_WRONLY | O_CREAT, 0644) >= 0;
  if (::geteuid() == 0) ::setfsuid(0);
  EXPECT_FALSE(opened);
  EXPECT_FALSE(replaced);
  EXPECT_FALSE(made);
  EXPECT_EQ(store_.read("sub/a.json"), R"([{"id":1,"name":"a"}])");
}

}  // namespace
}  // namespace switchback
