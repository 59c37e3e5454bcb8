#include "state/model/chunk_spool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "state/base/error.h"

namespace switchback {
namespace {

constexpr TableId kTable{3};

Chunk chunk_of(std::int64_t first, std::size_t payload) {
  Chunk chunk;
  chunk.add(Cell::integer(first));
  chunk.add(chunk.add_text(Kind::kText, std::string(payload, 'x')));
  chunk.end_upsert(kTable);
  return chunk;
}

std::int64_t first_of(const Chunk& chunk) {
  return chunk.row(chunk.changes()[0])[0].i;
}

class ChunkSpoolTest : public ::testing::Test {
 protected:
  std::filesystem::path folder_ = ::testing::TempDir();
};

TEST_F(ChunkSpoolTest, KeepsOrderAcrossMemoryAndFile) {
  ChunkSpool spool(folder_, 4000);
  std::int64_t next_in = 0;
  std::int64_t next_out = 0;
  Chunk out;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 7; ++i) {
      Chunk chunk = chunk_of(next_in++, 1000);
      if (i == 6) chunk.boundary = Position{1, static_cast<std::uint64_t>(next_in), 9};
      spool.push(chunk);
      EXPECT_TRUE(chunk.empty());
    }
    EXPECT_GT(spool.spilled_bytes(), 0u);
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(spool.pop(out));
      EXPECT_EQ(first_of(out), next_out++);
      EXPECT_EQ(out.text(out.row(out.changes()[0])[1]), std::string(1000, 'x'));
    }
  }
  while (spool.pop(out)) {
    EXPECT_EQ(first_of(out), next_out++);
    EXPECT_EQ(out.boundary.has_value(), next_out % 7 == 0);
  }
  EXPECT_EQ(next_out, next_in);
  EXPECT_TRUE(spool.empty());
  EXPECT_EQ(spool.spilled_bytes(), 0u);
}

TEST_F(ChunkSpoolTest, ClearForgetsEverything) {
  ChunkSpool spool(folder_, 1500);
  for (int i = 0; i < 5; ++i) {
    Chunk chunk = chunk_of(i, 1000);
    spool.push(chunk);
  }
  spool.clear();
  Chunk out;
  EXPECT_TRUE(spool.empty());
  EXPECT_FALSE(spool.pop(out));
  Chunk again = chunk_of(7, 10);
  spool.push(again);
  ASSERT_TRUE(spool.pop(out));
  EXPECT_EQ(first_of(out), 7);
}

TEST_F(ChunkSpoolTest, LeavesNoFileBehind) {
  const std::filesystem::path folder = folder_ / "spool_test_folder";
  std::filesystem::create_directories(folder);
  ChunkSpool spool(folder, 0);
  Chunk chunk = chunk_of(1, 1000);
  spool.push(chunk);
  EXPECT_GT(spool.spilled_bytes(), 0u);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove(folder);
}

TEST_F(ChunkSpoolTest, AMissingFolderIsADiskError) {
  ChunkSpool spool(folder_ / "no" / "such", 0);
  Chunk chunk = chunk_of(1, 10);
  try {
    spool.push(chunk);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDisk);
  }
}

TEST_F(ChunkSpoolTest, AFileThatCannotGrowIsADiskErrorAndKeepsWhatWasThere) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 5000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);

  ChunkSpool spool(folder_, 0);
  Chunk chunk = chunk_of(1, 1000);
  spool.push(chunk);
  Chunk large = chunk_of(2, 10000);
  ErrorKind kind = ErrorKind::kInternal;
  try {
    spool.push(large);
  } catch (const Error& error) {
    kind = error.kind();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(kind, ErrorKind::kDisk);
  EXPECT_EQ(first_of(large), 2);
  Chunk out;
  ASSERT_TRUE(spool.pop(out));
  EXPECT_EQ(first_of(out), 1);
  EXPECT_FALSE(spool.pop(out));
}

}  // namespace
}  // namespace switchback
