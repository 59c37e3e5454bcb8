#include "watchers/sqlite/dirty_keys.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

namespace switchback {
namespace {

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
