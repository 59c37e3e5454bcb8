#include "watchers/sqlite/log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "state/base/error.h"
#include "tests/watchers/sqlite/store_fixture.h"
#include "watchers/sqlite/dirty_keys.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

class LogTest : public ::testing::TestWithParam<const char*> {
 protected:
  void write_rows(int count) {
    SQLite::Transaction transaction(store_.application());
    for (int i = 0; i < count; ++i) store_.exec("INSERT INTO parent(name) VALUES ('x')");
    transaction.commit();
  }
  LogMark end() {
    LogReader log(store_.application(), *store_.mapping(), "app");
    return *log.last();
  }
  std::int64_t entries() { return store_.number("SELECT count(*) FROM _switchback_log"); }
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
  write_rows(100);
  LogMark mark = store_.install_entry();
  EXPECT_EQ(read(mark), 100);
  EXPECT_EQ(mark, end());
  EXPECT_EQ(read(mark), 0);
}

TEST_P(LogTest, AMissingEntryIsAFork) {
  write_rows(10);
  const LogMark install = store_.install_entry();
  store_.exec("DELETE FROM _switchback_log WHERE seq = 5");
  EXPECT_EQ(kind_of_failure(install), ErrorKind::kHistory);
  EXPECT_EQ(kind_of_failure({5, 0}), ErrorKind::kHistory);
}

TEST_P(LogTest, AnotherNonceIsAFork) {
  write_rows(10);
  const LogMark mark = end();
  EXPECT_EQ(kind_of_failure({mark.seq, mark.nonce + 1}), ErrorKind::kHistory);
}

TEST_P(LogTest, ATableThatIsNotMappedStopsTheReading) {
  store_.exec("INSERT INTO _switchback_log(tbl, k1) VALUES (77, 1)");
  EXPECT_EQ(kind_of_failure(store_.install_entry()), ErrorKind::kHistory);
}

TEST_P(LogTest, PruneKeepsTheAcknowledgedEntry) {
  write_rows(500);
  LogMark acknowledged = end();
  write_rows(3);
  const LogMark last = end();
  const PruneLimits limits{.least_entries = 100, .most_entries = 300};
  const auto prune = [&] { return prune_log(store_.path(), acknowledged, limits).value(); };
  const Pruned first = prune();
  EXPECT_EQ(std::pair(first.gone, first.left), std::pair(300L, 200L));
  const Pruned second = prune();
  EXPECT_EQ(std::pair(second.gone, second.left), std::pair(200L, 0L));
  EXPECT_EQ(prune().gone, 0);
  EXPECT_EQ(entries(), 4);
  EXPECT_EQ(read(acknowledged), 3);
  EXPECT_EQ(acknowledged, last);
  LogReader log(store_.application(), *store_.mapping(), "app");
  EXPECT_THROW(log.install_entry(), Error);
}

TEST_P(LogTest, APruneTakesLittleTimeWhereWritersWouldFail) {
  write_rows(2'000);
  const LogMark mark = end();
  PruneLimits limits{.least_entries = 100, .wal_time = std::chrono::microseconds(0)};
  const bool wal = in_wal_mode(store_.application());
  std::int64_t prunes = 0, left = 1;
  while (left > 0) {
    const auto pruned = prune_log(store_.path(), mark, limits);
    ASSERT_GT(pruned.value().gone, 0);
    left = pruned->left;
    limits.least_entries = 1;
    ++prunes;
  }
  EXPECT_EQ(prunes, wal ? 4 : 1);
  EXPECT_EQ(entries(), 1);
}

TEST_P(LogTest, FewEntriesAreNotPruned) {
  write_rows(50);
  EXPECT_EQ(prune_log(store_.path(), end(), {.least_entries = 100, .most_entries = 300})->gone, 0);
  EXPECT_EQ(entries(), 51);
}

TEST_P(LogTest, AnotherHistoryIsNotPruned) {
  write_rows(500);
  LogMark other = end();
  other.nonce ^= 1;
  EXPECT_EQ(prune_log(store_.path(), other, {.least_entries = 100, .most_entries = 300})->gone, 0);
  EXPECT_EQ(entries(), 501);
}

TEST_P(LogTest, PruneGivesWayToAWriterAtOnce) {
  write_rows(500);
  const LogMark mark = end();
  store_.exec("BEGIN IMMEDIATE");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_FALSE(prune_log(store_.path(), mark, {.least_entries = 100, .most_entries = 300}));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(500));
  store_.exec("ROLLBACK");
  EXPECT_EQ(entries(), 501);
}

INSTANTIATE_TEST_SUITE_P(JournalModes, LogTest, ::testing::Values("wal", "delete"));

StoredValue text(std::string_view bytes) {
  return {SQLITE_TEXT, 0, 0, bytes};
}
StoredValue integer(std::int64_t value) {
  return {SQLITE_INTEGER, value, 0, {}};
}

std::string encoded(std::initializer_list<StoredValue> key) {
  std::string out;
  encode_key(std::span(key.begin(), key.size()), out);
  return out;
}

TEST(DirtyKeysTest, KeysComeBackAsTheyWere) {
  const std::string bytes = encoded({integer(-5),
                                     text("a\nb"),
                                     {SQLITE_FLOAT, 0, -0.25, {}},
                                     {},
                                     {SQLITE_BLOB, 0, 0, ""},
                                     integer(INT64_MAX)});
  std::vector<StoredValue> key;
  decode_key(bytes, key);
  ASSERT_EQ(key.size(), 6u);
  EXPECT_EQ(key[0].integer, -5);
  EXPECT_EQ(key[1].bytes, "a\nb");
  EXPECT_EQ(key[2].real, -0.25);
  EXPECT_EQ(key[3].type, SQLITE_NULL);
  EXPECT_EQ(key[4].type, SQLITE_BLOB);
  EXPECT_EQ(key[5].integer, INT64_MAX);
}

TEST(DirtyKeysTest, TypesAreKeptApartAndIntegersAreInOrder) {
  DirtyKeys keys(::testing::TempDir(), 2);
  using Lane = DirtyKeys::Lane;
  const TableId table{1};
  for (const std::int64_t i : {7, -3, 0, 7, 5}) {
    keys.add(Lane::kUnread, table, encoded({integer(i)}));
  }
  keys.add(Lane::kUnread, table, encoded({text("7")}));
  keys.add(Lane::kUnread, table, encoded({StoredValue{SQLITE_FLOAT, 0, 7, {}}}));
  EXPECT_EQ(keys.count(Lane::kUnread, table), 6u);
  std::vector<std::string> taken;
  keys.take(Lane::kUnread, table, 4, taken);
  EXPECT_EQ(taken, (std::vector{encoded({integer(-3)}), encoded({integer(0)}),
                                encoded({integer(5)}), encoded({integer(7)})}));
  keys.take(Lane::kUnread, table, 10, taken);
  EXPECT_EQ(taken.size(), 2u);
  EXPECT_TRUE(keys.empty(Lane::kUnread));
}

TEST(DirtyKeysTest, ManyKeysGoThroughTheFile) {
  const std::filesystem::path folder = ::testing::TempDir() + "dirty_keys_test";
  std::filesystem::create_directories(folder);
  DirtyKeys keys(folder, 1);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  using Lane = DirtyKeys::Lane;
  constexpr std::int64_t kKeys = 300'000;
  for (std::int64_t i = 0; i < kKeys; ++i) {
    keys.add(Lane::kUnread, TableId{0},
             encoded({integer(i * 7919 % kKeys), text(std::string(40, 'k'))}));
  }
  EXPECT_EQ(keys.count(Lane::kUnread, TableId{0}), static_cast<std::uint64_t>(kKeys));
  std::int64_t next = 0;
  std::vector<std::string> taken;
  std::vector<StoredValue> key;
  for (;;) {
    keys.take(Lane::kUnread, TableId{0}, 1000, taken);
    if (taken.empty()) break;
    for (const std::string& bytes : taken) {
      decode_key(bytes, key);
      ASSERT_EQ(key[0].integer, next++);
    }
  }
  EXPECT_EQ(next, kKeys);
  std::filesystem::remove(folder);
}

}  // namespace
}  // namespace switchback
