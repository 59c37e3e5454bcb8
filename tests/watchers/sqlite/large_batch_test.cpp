// Batches larger than memory should hold, and batches under a writer that does not stop.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <stop_token>
#include <thread>
#include <vector>

#include "tests/watchers/sqlite/store_fixture.h"
#include "watchers/sqlite/source.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

std::int64_t status_kib(const std::string& field) {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kib = 0;
  while (status >> word) {
    if (word == field + ":") status >> kib;
  }
  return kib;
}

double cpu_us() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

class LargeBatchTest : public ::testing::TestWithParam<const char*> {
 protected:
  void start(SqliteSourceLimits limits) {
    source_ = open_sqlite_source(store_.path(), store_.mapping(), "app", store_.folder(), limits);
    source_->start({});
  }
  void insert(int rows, int payload) {
    store_.exec(
        fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
                    "INSERT INTO parent(id, name) SELECT i, hex(zeroblob({})) FROM n",
                    rows, payload / 2));
  }

  StoreFixture store_{GetParam(), test_mapping(), kTestSqliteSchema};
  std::unique_ptr<ChangeSource> source_;
};

TEST_P(LargeBatchTest, IsSpooledInBoundedMemory) {
  constexpr int kRows = 150'000;
  insert(kRows, 600);
  store_.close();
  const std::int64_t before_kib = status_kib("VmRSS");
  start({});
  Chunk chunk;
  int rows = 0;
  bool complete = false;
  std::int64_t most_kib = 0;
  while (!complete) {
    ASSERT_EQ(source_->pull(chunk, Deadline::in(milliseconds(60'000)), {}), Pull::kChunk);
    rows += static_cast<int>(chunk.changes().size());
    complete = chunk.boundary.has_value();
    most_kib = std::max(most_kib, status_kib("VmRSS"));
  }
  EXPECT_EQ(rows, kRows);
  RecordProperty("rss_growth_kib", fmt::format("{}", most_kib - before_kib));
  // AddressSanitizer keeps what was freed, ThreadSanitizer takes notes of what is used.
#ifndef __SANITIZE_ADDRESS__
#ifdef __SANITIZE_THREAD__
  constexpr std::int64_t kMostKib = 80 * 1024;
#else
  constexpr std::int64_t kMostKib = 48 * 1024;
#endif
  EXPECT_LT(most_kib - before_kib, kMostKib) << "of a batch of 90 MB";
#endif
}

// The application goes on writing, in transactions of its own, while a large batch is read.
TEST_P(LargeBatchTest, ConvergesUnderAWriterInShortReads) {
  constexpr int kRows = 40'000;
  insert(kRows, 200);
  std::vector<std::chrono::nanoseconds> rounds;
  SqliteSourceLimits limits;
  limits.on_round = [&](std::chrono::nanoseconds took) { rounds.push_back(took); };
  start(limits);

  std::atomic<int> written = 0;
  std::jthread writer([&](std::stop_token stop) {
    for (int i = 0; !stop.stop_requested(); ++i) {
      store_.exec(fmt::format("UPDATE parent SET name = 'w{}' WHERE id = {}", i, i % kRows + 1));
      if (i % 7 == 0) store_.exec(fmt::format("DELETE FROM parent WHERE id = {}", i % 5000 + 1));
      ++written;
    }
  });
  Replica replica(store_.mapping());
  ASSERT_TRUE(pull_batch(*source_, replica, milliseconds(60'000)));
  const int during = written;
  writer.request_stop();
  writer.join();
  while (pull_batch(*source_, replica, milliseconds(3'000))) {
  }
  EXPECT_EQ(replica.rows(), Replica::rows_of(store_.application(), *store_.mapping()));
  EXPECT_GT(during, 0);
  std::sort(rounds.begin(), rounds.end());
  const auto ms = [](std::chrono::nanoseconds span) {
    return std::chrono::duration_cast<milliseconds>(span);
  };
  RecordProperty("rounds", fmt::format("{}", rounds.size()));
  RecordProperty("longest_ms", fmt::format("{}", ms(rounds.back()).count()));
  RecordProperty("writes_during", fmt::format("{}", during));
  if (std::string(GetParam()) == "wal") return;
  // Those that found the database locked read nothing. A machine that is busy with other tests may
  // hold the thread up in some of the others, hence the median.
  std::erase_if(rounds, [](std::chrono::nanoseconds span) { return span < milliseconds(2); });
  ASSERT_GT(rounds.size(), 3u);
  EXPECT_LE(ms(rounds[rounds.size() / 2]), milliseconds(20));
}

TEST_P(LargeBatchTest, ASmallBatchIsCheap) {
  insert(10'000, 200);
  start({});
  Replica replica(store_.mapping());
  ASSERT_TRUE(pull_batch(*source_, replica));
  constexpr int kBatches = 300;
  double used_us = 0;
  Chunk chunk;
  for (int i = 0; i < kBatches; ++i) {
    for (int row = 1; row <= 5; ++row) {
      store_.exec(fmt::format("UPDATE parent SET name = 'b{}' WHERE id = {}", i, row * 1000 + i));
    }
    const double before = cpu_us();
    ASSERT_EQ(source_->pull(chunk, Deadline::in(milliseconds(5'000)), {}), Pull::kChunk);
    used_us += cpu_us() - before;
    ASSERT_TRUE(chunk.boundary);
    ASSERT_EQ(chunk.changes().size(), 5u);
  }
  RecordProperty("cpu_us_per_batch", fmt::format("{:.1f}", used_us / kBatches));
  // Ten times what it takes; here so that a statement prepared anew or a schema read each time
  // shows.
  EXPECT_LT(used_us / kBatches, 3'000);
}

INSTANTIATE_TEST_SUITE_P(JournalModes, LargeBatchTest, ::testing::Values("wal", "delete"));

}  // namespace
}  // namespace switchback
