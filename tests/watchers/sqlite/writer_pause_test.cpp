#include "watchers/sqlite/writer_pause.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/watchers/sqlite/store_fixture.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

class WriterPauseTest : public ::testing::Test {
 protected:
  /// Commits again and again, `pause` apart, until it is destroyed.
  std::jthread writer(milliseconds pause) {
    return again_and_again(store_.path(), pause, [](SQLite::Database& mine) {
      mine.exec("UPDATE parent SET flag = 1 - flag");
    });
  }
  /// One try of many, because any thread may be held up at any time.
  bool finds(bool pause, milliseconds within) {
    for (const auto end = Clock::now() + seconds(30); Clock::now() < end;) {
      if (wait_for_pause(looker_, Deadline::in(within)) == pause) return true;
    }
    return false;
  }

  StoreFixture store_{"wal", test_mapping(), kTestSqliteSchema};
  SQLite::Database looker_ = open_database(store_.path(), SqliteUse::kRead);
};

TEST_F(WriterPauseTest, NobodyWritesAtAll) {
  const auto began = Clock::now();
  EXPECT_TRUE(wait_for_pause(looker_, Deadline::in(milliseconds(50))));
  EXPECT_GE(Clock::now() - began, milliseconds(50));
}

TEST_F(WriterPauseTest, AWriterWithAPaceIsMetBetweenTwoTransactions) {
  store_.insert_parents(1);
  const std::jthread writing = writer(milliseconds(20));
  const auto began = Clock::now();
  EXPECT_TRUE(finds(true, seconds(30)));
  EXPECT_LT(Clock::now() - began, seconds(20)) << "it was the deadline that ended it";
}

TEST_F(WriterPauseTest, AWriterInAHurryHasNoPause) {
  store_.insert_parents(1);
  const std::jthread writing = writer(milliseconds(0));
  EXPECT_TRUE(finds(false, milliseconds(20)));
}

}  // namespace
}  // namespace switchback
