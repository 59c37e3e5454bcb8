#include "state/base/json_meaning.h"

#include <gtest/gtest.h>

#include <string>

#include "state/base/decimal.h"

namespace switchback {
namespace {

TEST(JsonSame, MeansTheSameHoweverSpelled) {
  const std::pair<const char*, const char*> kPairs[] = {
      {R"({"a":1,"b":[true,null]})", "{ \"b\" : [ true , null ],\n\"a\" : 1 }"},
      {R"({"a":1,"a":2})", R"({"a":2})"},
      {"1.0", "1"},
      {"1e2", "100"},
      {"-0", "0"},
      {"123456789012345678901234567890", "123456789012345678901234567890.0"},
      {"1e400", "10e399"},
      {R"("\u00e9\/\n")", "\"é/\\u000A\""},
      {R"("\ud83c\udf89")", "\"🎉\""},
      {R"("\ud800")", R"("\uD800")"},
      {"not json", "not json"},
      {"[]", " [ ] "},
  };
  for (const auto& [a, b] : kPairs) {
    EXPECT_TRUE(json_same(a, b)) << a << " and " << b;
    EXPECT_TRUE(json_same(b, a)) << a << " and " << b;
  }
}

TEST(JsonSame, TellsDifferencesApart) {
  const std::pair<const char*, const char*> kPairs[] = {
      {R"({"a":1})", R"({"a":2})"},
      {R"({"a":1})", R"({"b":1})"},
      {R"({"a":1})", R"({"a":1,"b":1})"},
      {R"({"a":1,"a":2})", R"({"a":1})"},
      {"[1,2]", "[2,1]"},
      {"123456789012345678901234567890", "123456789012345678901234567891"},
      {"0.1", "0.10000000000000001"},
      {"1", "\"1\""},
      {"null", "false"},
      {"[]", "{}"},
      {"not json", "also not"},
      {"1", "1 x"},
      {R"("\ud800")", R"("\ud801")"},
  };
  for (const auto& [a, b] : kPairs) EXPECT_FALSE(json_same(a, b)) << a << " and " << b;
}

TEST(JsonRefusal, AsPostgres) {
  const auto refused = [](std::string_view text, JsonFlavour flavour) {
    return json_refusal(text, flavour).has_value();
  };
  for (const char* fine : {"1", "\"x\"", "null", " {\"a\":[1,2.5e3,\"\\u00e9\"]} ", "1e400",
                           "123456789012345678901234567890", R"("\ud83c\udf89")", "1e-16383",
                           R"({"a":1,"a":2})", "1e131071"}) {
    EXPECT_FALSE(refused(fine, JsonFlavour::kJson)) << fine;
    EXPECT_FALSE(refused(fine, JsonFlavour::kJsonb)) << fine;
  }
  for (const char* bad :
       {"",         " ",      "{",   "[1,]",   "{\"a\"}", "{'a':1}",   "01",  "1.",
        ".5",       "+1",     "NaN", "\"\t\"", "\"\\x\"", "\"\\u12\"", "1 2", "\xEF\xBB\xBF{}",
        "\"\xff\"", "truely", "[1}", "-",      "1e"}) {
    EXPECT_TRUE(refused(bad, JsonFlavour::kJson)) << bad;
    EXPECT_TRUE(refused(bad, JsonFlavour::kJsonb)) << bad;
  }
  for (const char* only_json : {R"("\u0000")", R"("\ud800")", R"("\udc00")", R"("\ud800\u0041")",
                                "1e131072", "1e-16384", "[1.5E-16383]", "1e99999999999"}) {
    EXPECT_FALSE(refused(only_json, JsonFlavour::kJson)) << only_json;
    EXPECT_TRUE(refused(only_json, JsonFlavour::kJsonb)) << only_json;
  }
  EXPECT_TRUE(refused("1." + std::string(16384, '0'), JsonFlavour::kJsonb));
  EXPECT_FALSE(refused(std::string(131072, '1'), JsonFlavour::kJsonb));
  EXPECT_TRUE(refused(std::string(131073, '1'), JsonFlavour::kJsonb));
  EXPECT_FALSE(refused(std::string(900, '[') + std::string(900, ']'), JsonFlavour::kJsonb));
  EXPECT_TRUE(refused(std::string(100'000, '[') + std::string(100'000, ']'), JsonFlavour::kJson));
  EXPECT_FALSE(refused("\"" + std::string(5 << 20, 'x') + "\"", JsonFlavour::kJsonb));
}

TEST(Decimal, ReadsComparesAndWritesPlain) {
  const std::pair<const char*, const char*> kPlain[] = {
      {"0", "0"},    {"-0.00", "0"}, {"1.50", "1.5"},     {"1e3", "1000"}, {"12.5e-3", "0.0125"},
      {".5", "0.5"}, {"5.", "5"},    {"-007.10", "-7.1"}, {"+3", "3"},
  };
  for (const auto& [text, plain] : kPlain) {
    const auto value = parse_decimal(text);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(to_plain(*value), plain) << text;
    EXPECT_EQ(parse_decimal(plain), value) << text;
  }
  for (const char* bad :
       {"", ".", "-", "1e", "1e+", "1x", " 1", "1 ", "e5", "--1", "1e9999999999"}) {
    EXPECT_FALSE(parse_decimal(bad)) << bad;
  }
}

}  // namespace
}  // namespace switchback
