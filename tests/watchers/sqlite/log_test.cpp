#include "watchers/sqlite/log.h"

#include <gtest/gtest.h>

#include "state/base/error.h"
#include "tests/watchers/sqlite/store_fixture.h"

namespace switchback {
namespace {

class LogTest : public ::testing::TestWithParam<const char*> {
 protected:
  // Reads everything after `mark`; the number of keys.
  int read(LogMark& mark) {
    LogReader log(store_.application(), *store_.mapping(), "app");
    int keys = 0;
    EXPECT_TRUE(log.read_after(
        mark, [&](TableId, std::span<const StoredValue>) { ++keys; }, [] { return false; }));
    return keys;
  }
  ErrorKind kind_of_failure(LogMark mark) {
    try {
      read(mark);
    } catch (const Error& error) {
      return error.kind();
    }
    ADD_FAILURE() << "nothing was thrown";
    return ErrorKind::kInternal;
  }

  StoreFixture store_{GetParam(), test_mapping(), kTestSqliteSchema};
};

TEST_P(LogTest, ReadsToTheEndAndStandsThere) {
  store_.insert_parents(100);
  LogMark mark = store_.install_entry();
  EXPECT_EQ(read(mark), 100);
  EXPECT_EQ(mark, store_.log_end());
  EXPECT_EQ(read(mark), 0);
}

TEST_P(LogTest, AMissingEntryIsAFork) {
  store_.insert_parents(10);
  const LogMark install = store_.install_entry();
  store_.exec("DELETE FROM _switchback_log WHERE seq = 5");
  EXPECT_EQ(kind_of_failure(install), ErrorKind::kHistory);
  EXPECT_EQ(kind_of_failure({5, 0}), ErrorKind::kHistory);
}

TEST_P(LogTest, AnotherNonceIsAFork) {
  store_.insert_parents(10);
  const LogMark mark = store_.log_end();
  EXPECT_EQ(kind_of_failure({mark.seq, mark.nonce + 1}), ErrorKind::kHistory);
}

TEST_P(LogTest, ATableThatIsNotMappedStopsTheReading) {
  store_.exec("INSERT INTO _switchback_log(tbl, k1) VALUES (77, 1)");
  EXPECT_EQ(kind_of_failure(store_.install_entry()), ErrorKind::kHistory);
}

INSTANTIATE_TEST_SUITE_P(JournalModes, LogTest, ::testing::Values("wal", "delete"));

}  // namespace
}  // namespace switchback
