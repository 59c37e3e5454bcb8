#include "watchers/files/path_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state/base/error.h"

namespace switchback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

bool matches(std::string_view pattern, std::string_view path) {
  return match_path(parse_file_pattern(pattern), path).has_value();
}

TEST(PathPattern, MatchesGlobsAndTellsMembers) {
  EXPECT_TRUE(matches("data/*.json", "data/a.json"));
  EXPECT_FALSE(matches("data/*.json", "data/x/a.json"));
  EXPECT_TRUE(matches("**/*.json", "a.json"));
  EXPECT_TRUE(matches("**/*.json", "x/y/a.json"));
  EXPECT_TRUE(matches("?.json", "\u00e9.json"));
  EXPECT_FALSE(matches("?.json", "ab.json"));
  const auto found =
      match_path(parse_file_pattern("users/{/userId}/{/kind}.v1.json"), "users/u1/a.b.v1.json");
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(*found, ElementsAre(PathMember{{"userId"}, "u1"}, PathMember{{"kind"}, "a.b"}));
  EXPECT_FALSE(match_path(parse_file_pattern("{/id}/{/id}.json"), "a/b.json").has_value());
  EXPECT_FALSE(matches("{/id}.json", ".json"));
}

TEST(PathPattern, SaysWhichFoldersMayHoldMatches) {
  const auto pattern = parse_file_pattern("users/{/id}/*.json");
  EXPECT_TRUE(may_hold_matches(pattern, ""));
  EXPECT_TRUE(may_hold_matches(pattern, "users"));
  EXPECT_TRUE(may_hold_matches(pattern, "users/u1"));
  EXPECT_FALSE(may_hold_matches(pattern, "users/u1/deep"));
  EXPECT_FALSE(may_hold_matches(pattern, "other"));
  EXPECT_TRUE(may_hold_matches(parse_file_pattern("a/**/*.json"), "a/b/c"));
}

TEST(PathPattern, RefusesWhatCannotBeMeant) {
  for (const char* text : {"/abs.json", "../x.json", "a//b", "a/./b", "{id}.json", "{/a}{/b}.json",
                           "a}", "a/**", "a**b", "{/a.json", ""}) {
    EXPECT_THROW(parse_file_pattern(text), Error) << text;
  }
}

TEST(Trap13, AKeyFromPostgresNeverLeavesTheFolder) {
  const auto pattern = parse_file_pattern("talks/{/id}.json");
  EXPECT_EQ(make_path(pattern, {{{"id"}, "5f-\u00e9 x"}}).path, "talks/5f-\u00e9 x.json");
  const std::string nul("a\0b", 3);
  for (const std::string& id :
       {std::string("../../etc/passwd"), std::string("/etc/passwd"), std::string(".."),
        std::string("."), std::string(), nul, std::string(300, 'a'), std::string("a\\b"),
        std::string("a\nb"), std::string("\xff")}) {
    const MadePath made = make_path(pattern, {{{"id"}, id}});
    EXPECT_EQ(made.path, "") << id;
    EXPECT_NE(made.reason, "") << id;
  }
  EXPECT_THAT(make_path(pattern, {}).reason, HasSubstr("no value for /id"));
  EXPECT_THAT(make_path(parse_file_pattern("*.json"), {}).reason,
              HasSubstr("does not say which file"));
  // What would be read back as somebody else's.
  EXPECT_EQ(make_path(parse_file_pattern("{/a}-{/b}.json"), {{{"a"}, "x"}, {{"b"}, "y-z"}}).path,
            "");
}

TEST(PathPattern, PointersThereAndBack) {
  for (const char* text : {"", "/", "/a/b", "/a~1b/~0", "/\u00e9"})
    EXPECT_EQ(to_pointer(*parse_pointer(text)), text);
  EXPECT_FALSE(parse_pointer("a").has_value());
  EXPECT_FALSE(parse_pointer("/~2").has_value());
}

}  // namespace
}  // namespace switchback
