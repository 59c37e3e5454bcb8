// What a look at the files must not take at its word: lists that are being written anew, stores
// that are away as a whole, clocks that were put back.
#include "watchers/files/scan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <time.h>

#include <filesystem>
#include <fstream>

#include "tests/watchers/files/files_fixture.h"

namespace switchback {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

namespace fs = std::filesystem;

class ScanTest : public testing::Test {
 protected:
  void begin(const CollectionText& collection, const TableText& table) {
    store_.emplace(collection, std::vector{table});
  }
  void install() {
    store_->install();
    ledger_ = FilesLedger::open(store_->ledger(), false);
    scan_.emplace(store_->text().mapping_pointer(), store_->text().documents(), *ledger_);
  }
  ScanResult look() { return scan_->run(Look::kStamps, nullptr); }
  std::uint64_t rows() { return ledger_->count_rows(store_->text().table("t")); }
  /// Looks until it agrees with itself, as a gate does.
  void rest() {
    const Deadline deadline = Deadline::in(std::chrono::seconds(20));
    while (look().unstable) ASSERT_FALSE(deadline.passed());
  }

  std::optional<FilesFixture> store_;
  std::unique_ptr<FilesLedger> ledger_;
  std::optional<FileScan> scan_;
};

std::string lines(int first, int last) {
  std::string out;
  for (int n = first; n <= last; ++n) out += "{\"n\": " + std::to_string(n) + "}\n";
  return out;
}

// A ring of lines that keeps what leaves it, and whose rows have no name in the file: what is taken
// for gone comes back as another row.
class RingTest : public ScanTest {
 protected:
  RingTest() {
    begin({.files = "log.jsonl", .records = "lines"},
          {.name = "t", .path = "", .columns = {"id uuid = $uuid", "n int = /n"}});
    store_->text().mapping_pointer()->tables.front().keep_deleted = true;
    store_->write("log.jsonl", lines(1, 8));
    install();
  }
};

TEST_F(RingTest, AMomentOfARewritingInPlaceIsNotBelieved) {
  for (const std::string& part : {std::string(), lines(3, 3), lines(3, 6)}) {
    store_->write("log.jsonl", part);
    const ScanResult seen = look();
    EXPECT_TRUE(seen.unstable && seen.untaken) << part;
    EXPECT_EQ(seen.from, seen.to) << part;
    EXPECT_THAT(seen.unreadable, IsEmpty()) << part;
  }
  store_->write("log.jsonl", lines(3, 10));
  look();
  EXPECT_EQ(ledger_->entries_beyond(ledger_->first().value), 4u) << "two left it, two are new";
  EXPECT_EQ(rows(), 8u);
}

TEST_F(RingTest, WhatStaysShorterIsShorter) {
  store_->write("log.jsonl", lines(5, 8));
  EXPECT_EQ(rows(), 8u);
  rest();
  EXPECT_EQ(rows(), 4u);
  EXPECT_EQ(ledger_->entries_beyond(ledger_->first().value), 4u);
}

TEST_F(RingTest, AFileOfTheFutureComesToRest) {
  timespec times[2];
  ASSERT_EQ(::clock_gettime(CLOCK_REALTIME, &times[0]), 0);
  times[0].tv_sec += 3'600;  // as after the clock was put back
  times[1] = times[0];
  ASSERT_EQ(::utimensat(AT_FDCWD, (store_->root() / "log.jsonl").c_str(), times, 0), 0);
  rest();
  EXPECT_EQ(rows(), 8u);
}

// As if each write came while the last one was still looked at.
TEST_F(RingTest, WhatIsWrittenToAllTheTimeIsBelievedInTheEnd) {
  const Deadline deadline = Deadline::in(std::chrono::seconds(20));
  for (int n = 0; rows() != 4; ++n) {
    ASSERT_FALSE(deadline.passed());
    store_->write("log.jsonl", lines(5, 8) + std::string(static_cast<std::size_t>(n % 2), '\n'));
    look();
  }
}

class StoreAwayTest : public ScanTest {
 protected:
  StoreAwayTest() {
    begin({.files = "{/id}.json", .records = ""},
          {.name = "t", .path = "", .columns = {"id int = /id"}});
    for (const std::string id : {"1", "2", "3"}) {
      store_->write(id + ".json", "{\"id\": " + id + "}");
    }
    install();
  }
  std::string refusal() {
    try {
      look();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kDisk);
      return error.what();
    }
    return "";
  }
};

TEST_F(StoreAwayTest, AFolderThatIsNotThereIsNoEmptyStore) {
  const fs::path root = store_->root();
  fs::rename(root, root.string() + ".away");
  EXPECT_THAT(refusal(), HasSubstr("is not there"));
  fs::rename(root.string() + ".away", root);
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(rows(), 3u);
}

TEST_F(StoreAwayTest, TheLastFileMayBeDeleted) {
  for (const std::string id : {"1", "2", "3"}) fs::remove(store_->root() / (id + ".json"));
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(rows(), 0u);
}

// The store's disk may be away, and an empty place to mount it at is left, which is on another
// disk.
class DiskAwayTest : public StoreAwayTest {
 protected:
  void SetUp() override {
    if (device_of(elsewhere_.path()) == device_of(root_))
      GTEST_SKIP() << "/dev/shm is no other disk";
  }
  void unmount() {
    fs::rename(root_, away_);
    fs::create_directory_symlink(elsewhere_.path(), root_);
  }
  void mount() {
    fs::remove(root_);
    fs::rename(away_, root_);
  }
  static dev_t device_of(const fs::path& path) {
    struct stat found {};
    EXPECT_EQ(::stat(path.c_str(), &found), 0);
    return found.st_dev;
  }

  const test::TempFolder elsewhere_{"/dev/shm"};
  const fs::path root_ = store_->root(), away_ = root_.string() + ".away";
};

TEST_F(DiskAwayTest, AnEmptyFolderOnAnotherDiskIsNoEmptyStore) {
  unmount();
  const ScanResult seen = look();
  ASSERT_EQ(seen.unreadable.size(), 3u);
  EXPECT_TRUE(seen.unreadable.front().held);
  EXPECT_THAT(seen.unreadable.front().why, HasSubstr("on another disk"));
  EXPECT_EQ(rows(), 3u);
  // What an application begins anew there does not say that the others were deleted.
  std::ofstream(root_ / "9.json") << R"({"id": 9})";
  std::ofstream(root_ / "2.json") << R"({"id": 2, "anew": true})";
  rest();
  EXPECT_EQ(rows(), 4u);
  scan_->let_through({0, "1.json"});
  EXPECT_EQ(rows(), 3u);
  EXPECT_THAT(ledger_->held(), testing::SizeIs(1));
}

// As where a disk has another number since the last reboot.
TEST_F(DiskAwayTest, FilesThatAreAsTheyWereSayThatTheDiskIsTheSame) {
  fs::remove(root_ / "3.json");
  fs::copy(root_, elsewhere_.path());
  unmount();
  rest();
  EXPECT_THAT(look().unreadable, IsEmpty());
  EXPECT_EQ(rows(), 2u);
}

TEST_F(DiskAwayTest, ADiskThatIsMountedAgainHasAllItsFiles) {
  unmount();
  EXPECT_EQ(look().unreadable.size(), 3u);
  mount();
  rest();
  EXPECT_THAT(look().unreadable, IsEmpty());
  EXPECT_THAT(ledger_->held(), IsEmpty());
  EXPECT_EQ(rows(), 3u);
}

}  // namespace
}  // namespace switchback
