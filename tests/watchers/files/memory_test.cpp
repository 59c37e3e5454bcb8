#include "watchers/files/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchback {
namespace {

using testing::ElementsAre;
constexpr std::uint32_t kNone = ElementMemory::kNone;

std::vector<Mark> marks(const std::string& letters, bool own_key = false) {
  std::vector<Mark> out;
  for (const char c : letters) out.push_back({hash_of(std::string_view(&c, 1)), own_key});
  return out;
}

std::vector<std::optional<std::int64_t>> numbered(std::vector<std::optional<std::int64_t>> places) {
  number_places(places);
  return places;
}

TEST(Align, ContentsComeBeforePlaces) {
  EXPECT_THAT(align(marks("abc"), marks("abc")), ElementsAre(0, 1, 2));
  EXPECT_THAT(align(marks("abc"), marks("xabc")), ElementsAre(kNone, 0, 1, 2));
  EXPECT_THAT(align(marks("abc"), marks("cab")), ElementsAre(2, 0, 1));
  EXPECT_THAT(align(marks("abc"), marks("ac")), ElementsAre(0, 2));
  EXPECT_THAT(align(marks("aab"), marks("aba")), ElementsAre(0, 2, 1));
}

TEST(Align, EditedInPlaceIsTheSameElement) {
  EXPECT_THAT(align(marks("abc"), marks("axc")), ElementsAre(0, 1, 2));
  EXPECT_THAT(align(marks("abc"), marks("abxy")), ElementsAre(0, 1, 2, kNone));
  EXPECT_THAT(align(marks("abc"), marks("yxbc")), ElementsAre(kNone, 0, 1, 2));
  EXPECT_THAT(align(marks("a"), marks("xy")), ElementsAre(0, kNone));
}

TEST(Align, AnotherKeyIsAnotherElement) {
  EXPECT_THAT(align(marks("abc", true), marks("axc", true)), ElementsAre(0, kNone, 2));
  EXPECT_THAT(align(marks("ab", true), marks("ba", true)), ElementsAre(1, 0));
}

TEST(NumberPlaces, KeepsAsManyAsItCan) {
  EXPECT_THAT(numbered({std::nullopt, std::nullopt}), ElementsAre(0, 1));
  EXPECT_THAT(numbered({0, 1, std::nullopt}), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbered({std::nullopt, std::nullopt, 0, 1}), ElementsAre(-2, -1, 0, 1));
  EXPECT_THAT(numbered({0, std::nullopt, 5}), ElementsAre(0, 1, 5));
  EXPECT_THAT(numbered({0, std::nullopt, 1, 7}), ElementsAre(0, 1, 2, 7));
  EXPECT_THAT(numbered({2, 0, 1}), ElementsAre(-1, 0, 1));
  EXPECT_THAT(numbered({4, 4}), ElementsAre(3, 4));
}

TEST(RecordMemory, ComesBackAsItWas) {
  RecordMemory memory;
  memory.elements.push_back({0, kNone, {{1, 2}, true}, {}});
  memory.elements.push_back(
      {1, 0, {{3, 4}, false}, {.uuid = "u", .serial = -5, .hash = "h", .place = 7}});
  const RecordMemory back = RecordMemory::parse(memory.serialize());
  ASSERT_EQ(back.elements.size(), 2u);
  EXPECT_EQ(back.elements[1].made, memory.elements[1].made);
  EXPECT_EQ(back.elements[1].mark, memory.elements[1].mark);
  EXPECT_EQ(back.elements[1].parent, 0u);
  EXPECT_TRUE(RecordMemory::parse("").elements.empty());
  const std::string image = memory.serialize();
  for (std::size_t size = 1; size < image.size(); ++size) {
    try {
      RecordMemory::parse(std::string_view(image).substr(0, size));
    } catch (const std::exception&) {
      continue;
    }
    // Cut between two elements it is a shorter memory, never a broken one.
    EXPECT_EQ(RecordMemory::parse(std::string_view(image).substr(0, size)).elements.size(),
              size == 1 ? 0u : 1u);
  }
}

}  // namespace
}  // namespace switchback
