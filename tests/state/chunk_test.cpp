#include "state/model/chunk.h"

#include <gtest/gtest.h>

#include "state/base/error.h"
#include "state/ports/change_sink.h"

namespace switchback {
namespace {

constexpr TableId kUsers{3};

Chunk sample() {
  Chunk chunk;
  chunk.add(chunk.add_text(Kind::kText, "old"));
  chunk.add(chunk.add_text(Kind::kText, "new"));
  chunk.add(Cell::integer(42));
  chunk.end_rename(kUsers, 1);
  chunk.add(chunk.add_text(Kind::kText, "gone"));
  chunk.end_delete(kUsers);
  chunk.add(chunk.add_text(Kind::kText, "odd"));
  chunk.end_misfit(kUsers, "text in a BOOLEAN column");
  chunk.boundary = Position{7, 8, 9};
  return chunk;
}

void expect_sample(const Chunk& chunk) {
  ASSERT_EQ(chunk.changes().size(), 3u);
  const Change& rename = chunk.changes()[0];
  EXPECT_EQ(chunk.text(chunk.old_key(rename, 1)[0]), "old");
  ASSERT_EQ(chunk.row(rename).size(), 2u);
  EXPECT_EQ(chunk.text(chunk.row(rename)[0]), "new");
  EXPECT_EQ(chunk.row(rename)[1].i, 42);
  const Change& gone = chunk.changes()[1];
  EXPECT_EQ(gone.op, Op::kDelete);
  EXPECT_EQ(chunk.text(chunk.row(gone)[0]), "gone");
  const Change& misfit = chunk.changes()[2];
  EXPECT_EQ(misfit.op, Op::kMisfit);
  EXPECT_EQ(chunk.text(misfit.reason), "text in a BOOLEAN column");
  EXPECT_EQ(chunk.boundary, (Position{7, 8, 9}));
}

TEST(Chunk, GivesBackWhatWasAdded) {
  expect_sample(sample());
}

TEST(Chunk, SurvivesTheSpool) {
  std::string image;
  sample().serialize(image);
  expect_sample(Chunk::parse(image));
}

TEST(Chunk, RefusesAnImageCutAnywhere) {
  std::string image;
  sample().serialize(image);
  for (std::size_t size = 0; size < image.size(); ++size) {
    EXPECT_THROW(Chunk::parse(std::string_view(image).substr(0, size)), Error) << size;
  }
}

TEST(Chunk, DroppedRowLeavesNoTrace) {
  Chunk chunk;
  chunk.add(Cell::integer(1));
  chunk.drop_row();
  chunk.add(Cell::integer(2));
  chunk.end_upsert(kUsers);
  ASSERT_EQ(chunk.changes().size(), 1u);
  EXPECT_EQ(chunk.row(chunk.changes()[0])[0].i, 2);
}

TEST(KeyText, IsAJsonArrayOfStrings) {
  Chunk chunk;
  chunk.add(Cell::integer(-5));
  chunk.add(chunk.add_text(Kind::kText, "a\"b\\c\n"));
  chunk.end_delete(kUsers);
  EXPECT_EQ(key_text(chunk, chunk.row(chunk.changes()[0])), R"(["-5","a\"b\\c\u000a"])");
}

}  // namespace
}  // namespace switchback
