// Documents taken apart, and everything that is refused: each with file, line, column and pointer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state/base/error.h"
#include "tests/watchers/files/lens_fixture.h"
#include "watchers/files/document.h"
#include "watchers/files/mapping_text.h"

namespace switchback {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string refusal(std::string_view text) {
  try {
    Document::parse(text, {.where = "data/users.json"});
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    return error.message();
  }
  return "accepted";
}

TEST(Document, KnowsWhereEveryValueStands) {
  const std::string text = "[\n  {\"a/b\": [1, \"x\\u00e9\"], \"c\": null}\n]";
  const Document document = Document::parse(text, {.where = "f.json"});
  const auto item = document.find(Document::kRoot, {"0", "a/b", "1"});
  ASSERT_TRUE(item.has_value());
  EXPECT_EQ(document.raw(*item), "\"x\\u00e9\"");
  EXPECT_EQ(document.string(*item), "x\u00e9");
  EXPECT_EQ(document.place(*item), "f.json:2:15 /0/a~1b/1");
  EXPECT_EQ(document.compact(Document::kRoot), "[{\"a/b\":[1,\"x\\u00e9\"],\"c\":null}]");
  EXPECT_FALSE(document.find(Document::kRoot, {"1"}).has_value());
  EXPECT_FALSE(document.find(Document::kRoot, {"0", "a/b", "01"}).has_value());
}

TEST(Document, MeaningIgnoresSpellingOnly) {
  const auto meaning = [](std::string_view text) {
    return Document::parse(text, {.where = "x"}).meaning(Document::kRoot);
  };
  EXPECT_EQ(meaning(R"({"a": 1.0, "b": "\u00e9"})"), meaning("{\"b\":\"\u00e9\",\"a\":10e-1}"));
  EXPECT_NE(meaning("[1,2]"), meaning("[2,1]"));
  EXPECT_NE(meaning("[]"), meaning("{}"));
  EXPECT_NE(meaning("\"1\""), meaning("1"));
  EXPECT_NE(meaning("[[1],2]"), meaning("[1,[2]]"));
  EXPECT_NE(meaning("100"), meaning("10"));
  EXPECT_NE(meaning("-1"), meaning("1"));
}

TEST(Trap06, BadInputIsRefusedWithItsPlace) {
  const std::string deep(10'000, '[');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\xEF\xBB\xBF{}", "data/users.json:1:1 (the whole): a byte order mark"},
      {"{\n  \"a\": \"\xff\"\n}", "data/users.json:2:9 /a: a byte that is not UTF-8"},
      {"[\"\xed\xa0\x80\"]", "a byte that is not UTF-8"},
      {"[{\"name\": NaN}]", "data/users.json:1:11 /0/name: NaN is no JSON"},
      {"[1, -Infinity]", "data/users.json:1:5 /1: -Infinity is no JSON"},
      {"{\"a\": 1,\n \"b\": {\"x\": 1, \"\\u0078\": 2}}",
       "data/users.json:2:16 /b: the member \"x\" is there twice"},
      {deep, "data/users.json:1:1001 "},
      {deep, "nested deeper than 1000 levels"},
      {"[1,]", "/1: expected a value, found ']'"},
      {"{\"a\" 1}", "expected ':', found '1'"},
      {"{'a': 1}", "expected a member's name in quotes, found '''"},
      {"[1 2]", "expected ',' or ']', found '2'"},
      {"[01]", "a number with a zero before it"},
      {"[1.]", "expected a digit, found ']'"},
      {"[\"a\nb\"]", "a control character in a string, found byte 0x0a"},
      {"[\"\\x\"]", "no such escape"},
      {"[\"\\u12\"]", "\\u needs four hexadecimal digits"},
      {"{} {}", "something follows the value's end"},
      {"", "expected a value, the text ends"},
      {"[tru]", "expected a value, found 't'"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_THAT(refusal(text), AllOf(StartsWith("data/users.json:"), HasSubstr(expected)));
  }
}

TEST(Trap06, ATextCutAnywhereIsRefused) {
  const std::string text =
      "[\n  {\"id\": 1, \"name\": \"caf\u00e9 \\ud83d\\ude00\", \"n\": [1.5e3, true, null]},\n  "
      "{}\n]";
  const Document whole = Document::parse(text, {.where = "x"});
  EXPECT_EQ(whole.count(Document::kRoot), 2u);
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_NE(refusal(std::string_view(text).substr(0, size)), "accepted") << size;
    EXPECT_THROW(divide(std::string_view(text).substr(0, size), {}, "x"), Error) << size;
  }
}

TEST(Trap06, WhatPostgresCannotHoldIsAMisfitOfItsRowAlone) {
  LensText lens({}, {{.name = "users",
                      .path = "",
                      .columns = {"id int = /id", "name text = /name", "extra jsonb = /extra"}}});
  EXPECT_THAT(lens.rows(R"({"id": 1, "name": "a\u0000b"})"),
              testing::ElementsAre(
                  AllOf(StartsWith("users(1) misfit: data.json:1:19 /name:"), HasSubstr("NUL"))));
  EXPECT_THAT(lens.rows(R"({"id": 2, "name": "\ud800"})"),
              testing::ElementsAre(HasSubstr("not valid UTF-8")));
  EXPECT_THAT(lens.rows(R"({"id": 3, "extra": {"x": ["\udead"]}})"),
              testing::ElementsAre(HasSubstr("/extra: extra: an object does not fit jsonb")));
  EXPECT_THAT(lens.rows(R"({"id": 4, "other": "\u0000 \ud800"})"),
              testing::ElementsAre("users(4, NULL, NULL)"));
}

TEST(Trap06, NumbersOfAnySizeStayExact) {
  const std::string digits(400, '7');
  LensText lens({}, {{.name = "t",
                      .path = "",
                      .columns = {"id int = /id", "n numeric = /n", "j jsonb = /j", "i bigint = /i",
                                  "s text = /s"}}});
  EXPECT_THAT(
      lens.rows("{\"id\": 1, \"n\": " + digits + ", \"j\": [" + digits +
                "], \"i\": 9007199254740993, \"s\": 1.0}"),
      testing::ElementsAre("t(1, " + digits + ", [" + digits + "], 9007199254740993, 1.0)"));
  EXPECT_THAT(lens.rows(R"({"id": 2, "n": 1e2, "i": 1e2})"),
              testing::ElementsAre("t(2, 100, NULL, 100, NULL)"));
  EXPECT_THAT(lens.rows(R"({"id": 3, "i": 135000000000000000000})"),
              testing::ElementsAre(AllOf(StartsWith("t(3) misfit: "), HasSubstr("/i: "))));
  EXPECT_THAT(lens.rows(R"({"id": 4, "i": 1.5})"),
              testing::ElementsAre(StartsWith("t(4) misfit: ")));
}

TEST(Layout, DividesEveryForm) {
  const std::string lowdb =
      R"({"meta": {"x": "]}"}, "users": [{"a": "\"]"}, 5], "posts": {"k\u0031": {}, "k2": 1}})";
  const auto users = divide(lowdb, parse_records("/users/*"), "x");
  ASSERT_EQ(users.records.size(), 2u);
  EXPECT_EQ(users.bytes(lowdb, 0), R"({"a": "\"]"})");
  EXPECT_EQ(users.bytes(lowdb, 1), "5");
  const auto posts = divide(lowdb, parse_records("/posts/*"), "x");
  EXPECT_EQ(posts.frame, FileRecords::Frame::kMap);
  EXPECT_EQ(posts.name(lowdb, 0), "k1");
  EXPECT_EQ(divide(lowdb, parse_records("/none/*"), "x").frame, FileRecords::Frame::kMissing);
  EXPECT_EQ(parse_record(lowdb, posts, 1, parse_records("/posts/*"), "f").place(Document::kRoot),
            "f:1:82 /posts/k2");
  const std::string lines = "{\"a\":1}\r\n\n  {\"a\":2} \n{\"a\":3";
  const auto parts = divide(lines, parse_records("lines"), "x");
  ASSERT_EQ(parts.records.size(), 3u);
  EXPECT_EQ(parts.bytes(lines, 1), "{\"a\":2}");
  EXPECT_TRUE(parts.unfinished_line);
}

TEST(Layout, RefusesWhatIsNoWholeFile) {
  for (const std::string_view text :
       {"", "  ", "5", "[1,", "[1}", "{\"a\":1,\"a\":2}", "[1] x", "{\"a\":}", "[,]"}) {
    EXPECT_THROW(divide(text, {}, "x"), Error) << text;
  }
  EXPECT_THROW(divide("{\"p\": \"scalar\"}", parse_records("/p/*"), "x"), Error);
  EXPECT_THROW(divide(" \n", parse_records(""), "x"), Error);
}

}  // namespace
}  // namespace switchback
