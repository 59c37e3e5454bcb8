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

TableMap keyed_by(const std::vector<PgType>& types) {
  TableMap table;
  table.id = kUsers;
  table.key_width = static_cast<std::uint16_t>(types.size());
  for (const PgType type : types) table.columns.emplace_back().type = type;
  return table;
}

TEST(KeyText, IsReadBackAsItWasWritten) {
  const TableMap table =
      keyed_by({PgType::kInt8, PgType::kText, PgType::kBytea, PgType::kFloat8, PgType::kNumeric});
  Chunk chunk;
  chunk.add(Cell::integer(-5));
  chunk.add(chunk.add_text(Kind::kText, "a\"b\\c\n\xC3\xA4"));
  chunk.add(chunk.add_text(Kind::kBytes, std::string_view("\0\xFF", 2)));
  chunk.add(Cell::real(0.1));
  chunk.add(chunk.add_text(Kind::kDecimal, "1.50"));
  chunk.end_delete(kUsers);
  const std::string text = key_text(chunk, chunk.row(chunk.changes()[0]));
  Chunk back;
  ASSERT_TRUE(add_key_of(table, text, back));
  ASSERT_EQ(back.changes().size(), 1u);
  EXPECT_EQ(back.changes()[0].op, Op::kDelete);
  const auto cells = back.row(back.changes()[0]);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ(cells[i].kind, chunk.row(chunk.changes()[0])[i].kind) << i;
  }
  EXPECT_EQ(key_text(back, cells), text);
}

TEST(KeyText, WhatIsNoWholeKeyIsNotTakenForOne) {
  const TableMap table = keyed_by({PgType::kInt8});
  Chunk out;
  EXPECT_FALSE(add_key_of(table, "[]", out));
  EXPECT_FALSE(add_key_of(table, R"(["1","2"])", out));
  EXPECT_FALSE(add_key_of(table, R"(["long...#0123456789abcdef)", out));
  EXPECT_TRUE(out.empty());
  // What SQLite keeps in an integer column may be a text.
  ASSERT_TRUE(add_key_of(table, R"(["seven"])", out));
  EXPECT_EQ(out.row(out.changes()[0])[0].kind, Kind::kText);
}

}  // namespace
}  // namespace switchback
