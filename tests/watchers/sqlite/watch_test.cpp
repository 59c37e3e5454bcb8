#include "watchers/sqlite/watch.h"

#include <gtest/gtest.h>
#include <time.h>

#include <filesystem>
#include <thread>

#include "tests/watchers/sqlite/store_fixture.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using Outcome = StoreWatch::Outcome;

class WatchTest : public ::testing::TestWithParam<const char*> {
 protected:
  StoreFixture store_{GetParam(), test_mapping(), kTestSqliteSchema};

  // Looks that find nothing, until the slow poll is all that is left.
  static void settle(StoreWatch& watch) {
    for (int i = 0; i < 16; ++i) {
      watch.drain();
      watch.looked(false);
    }
  }
  static milliseconds since(Deadline::Clock::time_point began) {
    return std::chrono::duration_cast<milliseconds>(Deadline::Clock::now() - began);
  }
};

TEST_P(WatchTest, AWriteEndsTheWait) {
  StoreWatch watch(store_.path());
  for (int i = 0; i < 3; ++i) {
    settle(watch);
    store_.exec("INSERT INTO parent(name) VALUES ('x')");
    const auto began = Deadline::Clock::now();
    EXPECT_EQ(watch.wait(Deadline::in(milliseconds(5'000))), Outcome::kLook);
    EXPECT_LT(since(began), milliseconds(500));
  }
}

TEST_P(WatchTest, AfterAnEventItLooksAgainSoon) {
  StoreWatch watch(store_.path());
  settle(watch);
  store_.exec("INSERT INTO parent(name) VALUES ('x')");
  watch.drain();
  const auto began = Deadline::Clock::now();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(watch.wait(Deadline::in(milliseconds(5'000))), Outcome::kLook);
    watch.drain();
    watch.looked(false);
  }
  EXPECT_LT(since(began), milliseconds(500));
}

TEST_P(WatchTest, WakeEndsTheWaitAlsoWhenItCameBefore) {
  StoreWatch watch(store_.path());
  settle(watch);
  watch.wake();
  EXPECT_EQ(watch.wait(Deadline::in(milliseconds(5'000))), Outcome::kWoken);
  const std::jthread other([&] { watch.wake(); });
  EXPECT_EQ(watch.pause(Deadline::in(milliseconds(5'000))), Outcome::kWoken);
}

TEST_P(WatchTest, TheDeadlineEndsTheWait) {
  StoreWatch watch(store_.path());
  settle(watch);
  EXPECT_EQ(watch.wait(Deadline::in(milliseconds(30))), Outcome::kDeadline);
}

TEST_P(WatchTest, ADatabaseThatIsRenamedIsNoticed) {
  StoreWatch watch(store_.path());
  settle(watch);
  const auto began = Deadline::Clock::now();
  std::filesystem::rename(store_.path(), store_.folder() / "elsewhere.db");
  EXPECT_EQ(watch.wait(Deadline::in(milliseconds(5'000))), Outcome::kLook);
  EXPECT_LT(since(began), milliseconds(500));
}

TEST_P(WatchTest, ReachesADatabaseThroughASymbolicLink) {
  const auto link = store_.folder() / "link";
  std::filesystem::create_directory(link);
  std::filesystem::create_symlink(store_.path(), link / "app.db");
  StoreWatch watch(link / "app.db");
  settle(watch);
  store_.exec("INSERT INTO parent(name) VALUES ('x')");
  const auto began = Deadline::Clock::now();
  EXPECT_EQ(watch.wait(Deadline::in(milliseconds(5'000))), Outcome::kLook);
  EXPECT_LT(since(began), milliseconds(500));
}

INSTANTIATE_TEST_SUITE_P(JournalModes, WatchTest, ::testing::Values("wal", "delete"));

}  // namespace
}  // namespace switchback
