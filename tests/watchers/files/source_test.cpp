// Files as the origin of changes: whatever an application does to them arrives, and nothing that it
// did not mean.
#include "watchers/files/source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "state/base/error.h"
#include "tests/watchers/files/files_fixture.h"
#include "watchers/files/watch.h"

namespace switchback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

namespace fs = std::filesystem;

constexpr auto kNothingComes = 300ms;

std::string user(int id, const std::string& name) {
  return "{\"id\": " + std::to_string(id) + ", \"name\": \"" + name + "\"}";
}

std::string users(int first, int last, const std::string& name = "n") {
  std::string out = "[";
  for (int id = first; id <= last; ++id) out += (id == first ? "\n  " : ",\n  ") + user(id, name);
  return out + "\n]\n";
}

class FilesSourceTest : public testing::Test {
 protected:
  FilesSourceTest()
      : store_({.files = "**/*.json"},
               {{.name = "users", .path = "", .columns = {"id int = /id", "name text = /name"}}}) {}

  void begin(WatchTimes times = {}) {
    store_.install();
    source_ = store_.source(times);
    source_->start({});
    ASSERT_TRUE(store_.pull_batch(*source_, replica_)) << "a start from nothing ends somewhere";
    replica_.rows = store_.rows_read();
  }
  bool pull(std::chrono::milliseconds limit = 20s) {
    return store_.pull_batch(*source_, replica_, limit);
  }

  FilesFixture store_;
  FilesReplica replica_;
  std::unique_ptr<ChangeSource> source_;
};

TEST_F(FilesSourceTest, OnlyWhatChangedIsTold) {
  store_.write("users.json", users(1, 5));
  begin();
  EXPECT_THAT(replica_.changes, IsEmpty()) << "the load has them";
  EXPECT_EQ(replica_.rows.size(), 5u);
  std::string bytes = users(1, 5);
  bytes.replace(bytes.find("\"n\"", 40), 3, "\"Ann\"");
  store_.write("users.json", bytes);
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(2, Ann)"));
  // The same records, spelled otherwise.
  store_.write("users.json", "[" + user(5, "n") + "," + user(4, "n") + "," + user(3, "n") + "," +
                                 user(2, "Ann") + "," + user(1, "n") + "]");
  EXPECT_FALSE(pull(kNothingComes));
}

TEST_F(FilesSourceTest, EveryWayToChangeAFileArrives) {
  store_.write("users.json", users(1, 4));
  begin();
  {
    std::ofstream(store_.root() / "temporary") << users(1, 5);
    fs::rename(store_.root() / "temporary", store_.root() / "users.json");
  }
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(5, n)"));
  store_.write("deep/er/more.json", users(10, 11));
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(10, n)", "+ users(11, n)"));
  fs::rename(store_.root() / "deep", store_.root() / "moved");
  while (pull(kNothingComes)) {
  }
  EXPECT_EQ(replica_.rows, store_.rows_read()) << "a moved folder moves no rows";
  EXPECT_EQ(replica_.rows.size(), 7u);
  fs::remove_all(store_.root() / "moved");
  while (replica_.rows.size() > 5) ASSERT_TRUE(pull());
  fs::rename(store_.root() / "users.json", store_.root() / "renamed.json");
  while (pull(kNothingComes)) {
  }
  EXPECT_EQ(replica_.rows.size(), 5u);
  EXPECT_EQ(replica_.rows, store_.rows_read());
}

TEST_F(FilesSourceTest, RecordsOfAMapThatHaveTheSameValueAreToldApartByName) {
  FilesFixture store(
      {.files = "flags.json"},
      {{.name = "flags", .path = "", .columns = {"name text = $key", "on bool = /on"}}});
  store.write("flags.json", R"({"a": {"on": true}, "b": {"on": true}, "c": {"on": true}})");
  store.install();
  const auto source = store.source();
  source->start({});
  FilesReplica replica;
  ASSERT_TRUE(store.pull_batch(*source, replica));
  store.write("flags.json", R"({"b": {"on": true}, "c": {"on": true}})");
  ASSERT_TRUE(store.pull_batch(*source, replica));
  EXPECT_THAT(replica.changes, ElementsAre("- flags(a)"));
  store.write("flags.json", R"({"c": {"on": true}, "d": {"on": true}})");
  ASSERT_TRUE(store.pull_batch(*source, replica));
  EXPECT_THAT(replica.changes, ElementsAre("- flags(b)", "+ flags(d, true)"));
  EXPECT_EQ(store.rows_read().size(), 2u);
}

// What a gate's look has logged is read later, and by then the file may be gone.
TEST_F(FilesSourceTest, ARecordThatGoesMeanwhileTakesAlongWhatWasInIt) {
  FilesFixture store({.files = "{/id}.json", .records = ""},
                     {{.name = "chats", .path = "", .columns = {"id text = /id", "t text = /t"}},
                      {.name = "messages",
                       .path = "/messages/*",
                       .columns = {"id int = /id", "chat text = ^/id"}}});
  const std::string rest = R"("messages": [{"id": 1}, {"id": 2}]})";
  store.write("a.json", R"({"id": "a", "t": "one", )" + rest);
  store.install();
  const auto source = store.source();
  source->start({});
  FilesReplica replica;
  ASSERT_TRUE(store.pull_batch(*source, replica));
  store.write("a.json", R"({"id": "a", "t": "two", )" + rest);
  {
    const auto ledger = FilesLedger::open(store.ledger(), false);
    FileScan(store.text().mapping_pointer(), store.text().documents(), *ledger)
        .run(Look::kContents, nullptr);
  }
  fs::remove(store.root() / "a.json");
  ASSERT_TRUE(store.pull_batch(*source, replica));
  EXPECT_THAT(replica.changes, ElementsAre("- messages(1)", "- messages(2)", "- chats(a)"));
}

TEST_F(FilesSourceTest, AFolderThatIsNotThereYetIsWaitedFor) {
  fs::remove(store_.root());
  begin();
  store_.write("users.json", users(1, 2));
  ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.rows.size(), 2u);
}

TEST_F(FilesSourceTest, HalfWrittenAndEmptiedFilesKeepTheirRows) {
  store_.write("users.json", users(1, 6));
  store_.write("others.json", users(10, 12));
  begin();
  const std::string whole = users(1, 6, "later");
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, whole.size() / 2}) {
    store_.write("users.json", whole.substr(0, length));
    EXPECT_FALSE(pull(kNothingComes)) << length << " bytes";
    ASSERT_THAT(store_.trouble, testing::SizeIs(1));
    EXPECT_THAT(store_.trouble.front().what, HasSubstr("users.json"));
  }
  store_.write("others.json", users(10, 13));
  ASSERT_TRUE(pull()) << "the other files keep flowing";
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(13, n)"));
  store_.write("users.json", whole);
  ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.changes.size(), 6u);
  EXPECT_THAT(store_.trouble, IsEmpty());
}

TEST(Trap15, AWholeFileThatLostMostOfItsRecordsIsHeld) {
  FilesFixture store(
      {.files = "*.json"},
      {{.name = "users", .path = "", .columns = {"id int = /id", "name text = /name"}}});
  store.write("users.json", users(1, 10));
  store.install();
  const auto source = store.source();
  source->start({});
  FilesReplica replica;
  ASSERT_TRUE(store.pull_batch(*source, replica));
  store.write("users.json", "[]");
  EXPECT_FALSE(store.pull_batch(*source, replica, kNothingComes));
  ASSERT_THAT(store.trouble, testing::SizeIs(1));
  EXPECT_TRUE(store.trouble.front().held);
  EXPECT_THAT(store.trouble.front().why, HasSubstr("10 of its 10 records are gone at once"));
  fs::remove(store.root() / "users.json");
  EXPECT_FALSE(store.pull_batch(*source, replica, kNothingComes));
  // Three at a time are meant.
  store.write("users.json", users(4, 10));
  ASSERT_TRUE(store.pull_batch(*source, replica));
  EXPECT_THAT(replica.changes, ElementsAre("- users(1)", "- users(2)", "- users(3)"));
  EXPECT_THAT(store.trouble, IsEmpty());
}

TEST_F(FilesSourceTest, ALinkIsNeverFollowed) {
  std::ofstream(store_.folder() / "outside.json") << users(1, 3);
  begin();
  fs::create_symlink(store_.folder() / "outside.json", store_.root() / "users.json");
  fs::create_directory_symlink(store_.folder(), store_.root() / "folder");
  EXPECT_FALSE(pull(kNothingComes));
  EXPECT_THAT(store_.rows_read(), IsEmpty());
}

TEST_F(FilesSourceTest, ABatchThatDidNotArriveIsToldAgain) {
  store_.write("users.json", users(1, 2));
  begin();
  const Position before = replica_.position;
  store_.write("users.json", users(1, 3));
  ASSERT_TRUE(pull());
  const Position after = replica_.position;
  // A new process, to which PostgreSQL says that it holds the earlier state; then the later one.
  source_ = store_.source();
  source_->start(before);
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(3, n)"));
  EXPECT_EQ(replica_.position, after);
  source_->start(after);
  EXPECT_FALSE(pull(kNothingComes));
  try {
    source_->start({before.history + 1, before.value, before.proof});
    FAIL() << "another history was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kHistory);
  }
}

TEST_F(FilesSourceTest, AFileThatTearsBeforeItWasToldHoldsUpNoOther) {
  store_.write("a.json", users(1, 1));
  store_.write("b.json", users(2, 2));
  begin();
  const Position before = replica_.position;
  store_.write("a.json", users(1, 1, "x"));
  ASSERT_TRUE(pull());
  store_.write("b.json", users(2, 2, "y"));
  ASSERT_TRUE(pull());
  // Nothing of it arrived, and the application died while it wrote.
  store_.write("a.json", R"([{"id": 1, "na)");
  source_ = store_.source();
  source_->start(before);
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(2, y)"));
  const Position after = replica_.position;
  EXPECT_FALSE(pull(kNothingComes));
  source_ = store_.source();
  source_->start(after);
  EXPECT_FALSE(pull(kNothingComes));
  store_.write("b.json", users(2, 2, "flows on"));
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(2, flows on)"));
  store_.write("a.json", users(1, 1, "z"));
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.changes, ElementsAre("+ users(1, z)"));
}

TEST_F(FilesSourceTest, TheLogIsPrunedUpToWhatArrived) {
  store_.write("users.json", users(1, 2));
  begin();
  const Position first = replica_.position;
  store_.write("users.json", users(1, 9));
  ASSERT_TRUE(pull());
  source_->acknowledge(replica_.position);
  source_->idle();
  EXPECT_EQ(source_->lag().changes, 0u);
  EXPECT_THROW(store_.source()->start(first), Error);
  EXPECT_NO_THROW(store_.source()->start(replica_.position));
}

TEST_F(FilesSourceTest, TwoRecordsWithOneKeyAreQuarantinedUntilOneGoes) {
  store_.write("a.json", users(1, 2));
  begin();
  store_.write("b.json", "[" + user(2, "other") + "]");
  ASSERT_TRUE(pull());
  EXPECT_THAT(replica_.quarantine["users(2"], HasSubstr("record 2 of a.json"));
  EXPECT_THAT(replica_.quarantine["users(2"], HasSubstr("record 1 of b.json"));
  EXPECT_EQ(replica_.rows["users(2"], "users(2, n)") << "PostgreSQL keeps its row";
  store_.write("a.json", users(1, 1));
  while (!replica_.quarantine.empty()) {
    ASSERT_TRUE(pull()) << (store_.trouble.empty() ? "" : store_.trouble.front().why);
  }
  EXPECT_EQ(replica_.rows["users(2"], "users(2, other)");
}

TEST_F(FilesSourceTest, AClaimThatEndsLeavesTheKeyToItsOwnerAsHeIsNow) {
  const auto rival = [](const std::string& name) { return "[" + user(2, name) + "]"; };
  const auto until_calm = [&] {
    while (!replica_.quarantine.empty()) {
      ASSERT_TRUE(pull()) << replica_.quarantine.begin()->second;
    }
  };
  store_.write("a.json", users(1, 2));
  begin();
  // In the same file: only the claim goes, of the owner there is nothing new.
  store_.write("a.json", "[" + user(1, "n") + "," + user(2, "n") + "," + user(2, "rival") + "]");
  ASSERT_TRUE(pull());
  store_.write("a.json", "[" + user(1, "n") + "," + user(2, "new") + "," + user(2, "rival") + "]");
  while (pull(kNothingComes)) {
  }
  EXPECT_EQ(replica_.rows["users(2"], "users(2, n)") << "PostgreSQL keeps its row";
  store_.write("a.json", "[" + user(1, "n") + "," + user(2, "new") + "]");
  until_calm();
  EXPECT_EQ(replica_.rows["users(2"], "users(2, new)");
  // In another file, whose record gets another key; then that file goes.
  store_.write("b.json", rival("rival"));
  ASSERT_TRUE(pull());
  store_.write("a.json", "[" + user(1, "n") + "," + user(2, "newer") + "]");
  while (pull(kNothingComes)) {
  }
  store_.write("b.json", "[" + user(3, "rival") + "]");
  until_calm();
  EXPECT_EQ(replica_.rows["users(2"], "users(2, newer)");
  store_.write("b.json", rival("rival"));
  ASSERT_TRUE(pull());
  EXPECT_FALSE(replica_.quarantine.empty());
  fs::remove(store_.root() / "b.json");
  until_calm();
  EXPECT_EQ(replica_.rows, store_.rows_read());
}

TEST_F(FilesSourceTest, ARecordWithoutAKeyEndsWithItsFile) {
  store_.write("a.json", users(1, 2));
  begin();
  store_.write("b.json", "[{\"name\": \"nobody\"}]");
  ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.quarantine.size(), 1u);
  fs::remove(store_.root() / "b.json");
  while (!replica_.quarantine.empty()) ASSERT_TRUE(pull());
}

TEST_F(FilesSourceTest, RecordsWithoutAKeyAreQuarantined) {
  store_.write("a.json", users(1, 2));
  begin();
  store_.write("a.json", "[" + user(1, "n") + ", {\"name\": \"nobody\"}, " + user(2, "n") + "]");
  ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.quarantine.size(), 1u);
  EXPECT_EQ(replica_.rows.size(), 2u);
  store_.write("a.json", users(1, 2));
  while (!replica_.quarantine.empty()) ASSERT_TRUE(pull());
}

TEST_F(FilesSourceTest, RecordsWithoutAKeyThatTheLoadMetAreQuarantinedToo) {
  store_.write("a.json", "[" + user(1, "n") + ", {\"name\": \"nobody\"}]");
  begin();
  EXPECT_EQ(replica_.quarantine.size(), 1u);
  EXPECT_EQ(replica_.rows.size(), 1u);
}

TEST_F(FilesSourceTest, TwoRecordsExchangeTheirKeys) {
  store_.write("a.json", "[" + user(1, "one") + "," + user(2, "two") + "]");
  begin();
  store_.write("a.json", "[" + user(2, "one") + "," + user(1, "two") + "]");
  while (replica_.rows["users(1"] != "users(1, two)") ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.rows["users(2"], "users(2, one)");
  EXPECT_THAT(replica_.quarantine, IsEmpty());
}

TEST_F(FilesSourceTest, WithoutEventsThePollFindsIt) {
  store_.write("users.json", users(1, 2));
  begin({.poll = 20ms});
  // A new inode with the old one's size and times: only the contents are unlike.
  const auto time = fs::last_write_time(store_.root() / "users.json");
  store_.write("users.json", users(1, 2, "m"));
  fs::last_write_time(store_.root() / "users.json", time);
  ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.rows["users(1"], "users(1, m)");
}

/// The machine's limit on events that wait to be read, lowered for the watches that are made
/// meanwhile.
class FewEvents {
 public:
  FewEvents() {
    std::ifstream(kLimit) >> before_;
    lowered_ = write("4");
  }
  ~FewEvents() {
    if (lowered_) write(before_);
  }
  FewEvents(const FewEvents&) = delete;
  FewEvents& operator=(const FewEvents&) = delete;
  bool lowered() const { return lowered_; }

 private:
  static constexpr const char* kLimit = "/proc/sys/fs/inotify/max_queued_events";
  static bool write(const std::string& limit) {
    std::ofstream out(kLimit);
    return static_cast<bool>(out << limit << std::flush);
  }
  std::string before_;
  bool lowered_ = false;
};

TEST_F(FilesSourceTest, EventsThatWereLostLoseNothing) {
  {
    const FewEvents few;
    if (!few.lowered()) GTEST_SKIP() << "only root may lower the machine's limit on events";
    begin({.poll = 1h, .reconcile = 1h});
  }
  for (int i = 1; i <= 50; ++i) {
    store_.write("u" + std::to_string(i) + ".json", users(i, i));
  }
  store_.write("late/on.json", users(60, 61));
  while (replica_.rows.size() < 52) ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.rows, store_.rows_read());
}

TEST(FilesWatch, AFolderWhoseEventWasLostIsWatchedAllTheSame) {
  FilesFixture files({.files = "**/*.json"},
                     {{.name = "t", .path = "", .columns = {"id int = /id"}}});
  std::optional<FilesWatch> watch;
  {
    const FewEvents few;
    if (!few.lowered()) GTEST_SKIP() << "only root may lower the machine's limit on events";
    watch.emplace(files.text().documents(), WatchTimes{.poll = 1h, .reconcile = 1h});
  }
  const auto wait = [&](std::chrono::milliseconds limit) {
    const auto outcome = watch->wait(Deadline::in(limit));
    watch->drain();
    watch->looked({}, false, false);
    return outcome;
  };
  watch->looked({}, true, false);
  watch->drain();
  for (int i = 1; i <= 50; ++i) files.write("u" + std::to_string(i) + ".json", "[]");
  files.write("late/on.json", "[]");
  EXPECT_EQ(wait(20s), FilesWatch::Outcome::kStamps);
  EXPECT_EQ(wait(kNothingComes), FilesWatch::Outcome::kDeadline);
  files.write("late/on.json", "[ ]");
  EXPECT_EQ(wait(20s), FilesWatch::Outcome::kStamps);
}

TEST_F(FilesSourceTest, AnInodeThatIsUsedAgainIsAnotherFile) {
  store_.write("users.json", users(1, 2));
  begin({.poll = 20ms});
  struct stat before {
  }, after{};
  const std::string path = store_.root() / "users.json";
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  // The file system gives the number to whoever asks next; not every one does.
  for (int tries = 0; tries < 100 && before.st_ino != after.st_ino; ++tries) {
    fs::remove(path);
    store_.write("users.json", users(1, 2, "m"));
    ASSERT_EQ(::stat(path.c_str(), &after), 0);
  }
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  while (replica_.rows["users(1"] != "users(1, m)") ASSERT_TRUE(pull());
  // Another file under the old one's number, while the old one's rows live on elsewhere.
  fs::rename(path, store_.root() / "moved.json");
  store_.write("users.json", users(3, 3));
  while (replica_.rows.size() != 3) ASSERT_TRUE(pull());
  EXPECT_EQ(replica_.rows, store_.rows_read());
}

TEST(FilesWatch, AWakeInTheMiddleOfABurstIsNotLost) {
  FilesFixture files({}, {{.name = "t", .path = "", .columns = {"id int = /id"}}});
  FilesWatch watch(files.text().documents(), {.debounce = std::chrono::seconds(20),
                                              .at_most = std::chrono::seconds(20),
                                              .poll = std::chrono::hours(1)});
  watch.drain();
  watch.looked({}, true, false);
  auto first = FilesWatch::Outcome::kWoken;
  // Until the wake comes after the file's event, not before it.
  for (int longer = 0; first == FilesWatch::Outcome::kWoken && longer < 1000; longer += 10) {
    files.write("data.json", "[]");
    const std::jthread waker([&] {
      for (int i = 0; i < longer; ++i) std::this_thread::yield();
      watch.wake();
    });
    first = watch.wait(Deadline::in(std::chrono::seconds(60)));
  }
  EXPECT_EQ(first, FilesWatch::Outcome::kStamps);
  EXPECT_EQ(watch.wait(Deadline::in(std::chrono::seconds(10))), FilesWatch::Outcome::kWoken);
}

}  // namespace
}  // namespace switchback
