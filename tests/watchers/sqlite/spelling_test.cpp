#include "watchers/sqlite/spelling.h"

#include <gtest/gtest.h>

#include "state/model/cell.h"

namespace switchback {
namespace {

constexpr std::int64_t kMoment = 1'732'497'804'000'000;  // 2024-11-25 01:23:24 UTC

struct Case {
  Spelling spelling;
  const char* text;
  std::int64_t micros;
};

TEST(Spelling, ReadsEachAndRecognisesIt) {
  const Case cases[] = {
      {Spelling::kSqlite, "2024-11-25 01:23:24", kMoment},
      {Spelling::kSqlite, "2024-11-25 01:23:24.5", kMoment + 500'000},
      {Spelling::kSqlite, "2024-11-25 01:23:24.123456", kMoment + 123'456},
      {Spelling::kSqlite, "2024-11-25 01:23:24.123456000", kMoment + 123'456},
      {Spelling::kSqlite, "infinity", kPlusInfinity},
      {Spelling::kIsoMsZ, "2024-11-25T01:23:24.000Z", kMoment},
      {Spelling::kIso, "2024-11-25T01:23:24Z", kMoment},
      {Spelling::kIso, "2024-11-25T01:23:24", kMoment},
      {Spelling::kIso, "2024-11-25T03:23:24+02:00", kMoment},
      {Spelling::kIso, "2024-11-24 20:53:24.25-0430", kMoment + 250'000},
      {Spelling::kIso, "2024-11-25", kMoment - 5'004'000'000},
      {Spelling::kIso, "2024-11-25 01:23", kMoment - 24'000'000},
      {Spelling::kTwitter, "Mon Nov 25 01:23:24 +0000 2024", kMoment},
      {Spelling::kTwitter, "Sun Nov 24 23:23:24 -0200 2024", kMoment},
      {Spelling::kUnix, "1732497804", kMoment},
      {Spelling::kSqlite, "1969-12-31 23:59:59.999999", -1},
      {Spelling::kSqlite, "0000-01-01 00:00:00", -62'167'219'200'000'000},
      {Spelling::kSqlite, "2000-02-29 00:00:00", 951'782'400'000'000},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(parse_timestamp(one.spelling, one.text), one.micros) << one.text;
    const auto seen = recognise_timestamp(one.text);
    ASSERT_TRUE(seen) << one.text;
    EXPECT_EQ(seen->spelling, one.spelling) << one.text;
    EXPECT_EQ(seen->micros, one.micros) << one.text;
  }
}

TEST(Spelling, RefusesWhatIsNoDate) {
  for (const char* text :
       {"", "now", "2024-13-01 00:00:00", "2023-02-29 00:00:00", "2024-11-25 24:00:00",
        "2024-11-25 01:23:60", "2024-11-25 01:23:24.", "2024-11-25T01:23:24.0000001Z",
        "2024-11-25 01:23:24 ", "Tue Nov 25 01:23:24 +0000 2024", "2024-1-25", "24-11-25",
        "2024-11-25T01:23:24+", "2024-11-25T01:23:24+2", "2024-11-25T", "99999999999999999999"}) {
    EXPECT_FALSE(recognise_timestamp(text)) << text;
  }
}

TEST(Spelling, WritesOnlyWhatItHasRoomFor) {
  EXPECT_EQ(format_timestamp(Spelling::kSqlite, kMoment), "2024-11-25 01:23:24");
  EXPECT_EQ(format_timestamp(Spelling::kSqlite, kMoment + 1), "2024-11-25 01:23:24.000001");
  EXPECT_EQ(format_timestamp(Spelling::kIsoMsZ, kMoment + 7000), "2024-11-25T01:23:24.007Z");
  EXPECT_EQ(format_timestamp(Spelling::kIsoMsZ, kMoment + 1), std::nullopt);
  EXPECT_EQ(format_timestamp(Spelling::kTwitter, kMoment), "Mon Nov 25 01:23:24 +0000 2024");
  EXPECT_EQ(format_timestamp(Spelling::kTwitter, kMoment + 1), std::nullopt);
  EXPECT_EQ(format_timestamp(Spelling::kUnix, kMoment), "1732497804");
  EXPECT_EQ(format_timestamp(Spelling::kUnix, kMoment + 1), std::nullopt);
  EXPECT_EQ(format_timestamp(Spelling::kUnix, kPlusInfinity), std::nullopt);
  EXPECT_EQ(format_timestamp(Spelling::kSqlite, kMinusInfinity), "-infinity");
  EXPECT_EQ(format_timestamp(Spelling::kIso, kPlusInfinity), std::nullopt);
  EXPECT_EQ(format_timestamp(Spelling::kSqlite, 300'000'000'000'000'000), std::nullopt);
}

TEST(Spelling, WhatIsWrittenReadsBackTheSame) {
  for (std::int64_t day = -719'528; day <= 2'932'896; day += 977) {
    const std::int64_t micros = day * 86'400'000'000 + 3'723'000'000;
    for (const Spelling spelling : {Spelling::kSqlite, Spelling::kIsoMsZ, Spelling::kIso,
                                    Spelling::kTwitter, Spelling::kUnix, Spelling::kUnixMs}) {
      const auto text = format_timestamp(spelling, micros);
      ASSERT_TRUE(text);
      EXPECT_EQ(parse_timestamp(spelling, *text), micros) << *text;
    }
    EXPECT_EQ(parse_date(*format_date(day)), day);
  }
}

TEST(Spelling, ImitatesSeparatorAndZone) {
  EXPECT_EQ(imitate_iso("2020-01-01T00:00:00.5", kMoment), "2024-11-25T01:23:24");
  EXPECT_EQ(imitate_iso("2020-01-01 00:00:00+02:00", kMoment), "2024-11-25 03:23:24+02:00");
  EXPECT_EQ(imitate_iso("2020-01-01T00:00:00Z", kMoment + 1), "2024-11-25T01:23:24.000001Z");
  EXPECT_EQ(imitate_iso("2020-01-01", kMoment), std::nullopt);
  EXPECT_EQ(imitate_iso("2020-01-01T00:00:00Z", kPlusInfinity), std::nullopt);
}

TEST(Spelling, NamesOfTheConfiguration) {
  for (const char* name : {"sqlite", "iso-ms-z", "iso", "twitter", "unix", "unix-ms"}) {
    const auto spelling = parse_spelling(name);
    ASSERT_TRUE(spelling);
    EXPECT_EQ(to_string(*spelling), name);
  }
  EXPECT_FALSE(parse_spelling("epoch"));
}

}  // namespace
}  // namespace switchback
