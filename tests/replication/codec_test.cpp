// The codec without a server: what it refuses, and the corners of each kind.
#include "replication/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "replication/numeric_codec.h"
#include "state/base/error.h"

namespace switchback {
namespace {

ColumnMap column(PgType type) {
  ColumnMap map;
  map.name = "c";
  map.type = type;
  map.type_name = "the type";
  return map;
}

std::string encode(PgType type, const Cell& cell, std::string_view text = {}) {
  std::string out;
  encode_binary(column(type), cell, text, out);
  return out;
}

std::string round_trip(PgType type, Kind kind, std::string_view text) {
  Chunk chunk;
  const Cell cell = chunk.add_text(kind, text);
  const std::string bytes = encode(type, cell, text);
  return std::string(chunk.text(decode_binary(column(type), bytes, chunk)));
}

std::string numeric(std::string_view decimal) {
  std::string bytes;
  encode_numeric(decimal, bytes);
  return decode_numeric(bytes);
}

TEST(Codec, NumericKeepsEveryDigitAndTheScale) {
  const std::vector<std::string> decimals = {"0",
                                             "0.00",
                                             "1",
                                             "-1",
                                             "9999",
                                             "10000",
                                             "123456789012345678901234567890.000000000000001",
                                             "0.0001",
                                             "0.00010",
                                             "-0.00000001",
                                             "1000000000000000000000000",
                                             "99999999.99999999",
                                             "NaN",
                                             "5.0",
                                             "12.3400",
                                             std::string(1000, '7') + "." + std::string(500, '3')};
  for (const auto& decimal : decimals) EXPECT_EQ(numeric(decimal), decimal);
  EXPECT_EQ(numeric("-0"), "0");
  EXPECT_EQ(numeric("007.10"), "7.10");
  EXPECT_EQ(numeric(".5"), "0.5");
}

TEST(Codec, NumericRefusesWhatIsNoDecimal) {
  std::string out;
  for (const char* bad : {"", "-", ".", "1e5", "1.2.3", "abc", "Infinity", "--1", "+1", " 1"}) {
    EXPECT_THROW(encode_numeric(bad, out), Error) << bad;
  }
  EXPECT_THROW(encode_numeric(std::string(140000, '1'), out), Error);
  EXPECT_THROW(decode_numeric(""), Error);
  // Found by pg_codec_fuzz: a scale and digits that no NUMERIC has, and a zero below zero.
  EXPECT_THROW(decode_numeric(std::string("\0\0\0\0\0\0\x50\xb2", 8)), Error);
  EXPECT_THROW(decode_numeric(std::string("\0\1\xff\xff\0\0\0\1\0\1", 10)), Error);
  EXPECT_EQ(decode_numeric(std::string("\0\0\0\0\x40\0\0\1", 8)), "0.0");
  EXPECT_THROW(decode_numeric(std::string("\0\1\0\0\0\0\0\0", 8)), Error);    // a digit is missing
  EXPECT_THROW(decode_numeric(std::string("\0\0\0\0\xD0\0\0\0", 8)), Error);  // infinity
}

TEST(Codec, IntegersAreCheckedAgainstTheirWidth) {
  EXPECT_EQ(encode(PgType::kInt2, Cell::integer(-2)), "\xff\xfe");
  EXPECT_THROW(encode(PgType::kInt2, Cell::integer(32768)), Error);
  EXPECT_THROW(encode(PgType::kInt4, Cell::integer(std::int64_t{1} << 31)), Error);
  EXPECT_THROW(encode(PgType::kInt4, Cell::integer(-(std::int64_t{1} << 31) - 1)), Error);
  EXPECT_EQ(encode(PgType::kInt8, Cell::integer(INT64_MIN)).size(), 8u);
}

TEST(Codec, RefusesAKindThatTheTypeDoesNotHave) {
  EXPECT_THROW(encode(PgType::kInt4, Cell::boolean(true)), Error);
  EXPECT_THROW(encode(PgType::kText, Cell::integer(1)), Error);
  EXPECT_THROW(encode(PgType::kText, Cell::null()), Error);
  EXPECT_THROW(encode(PgType::kText, Cell::unchanged()), Error);
}

TEST(Codec, TextWithNulIsRefusedAndBytesWithNulAreNot) {
  const std::string nul("a\0b", 3);
  for (const PgType type : {PgType::kText, PgType::kVarchar, PgType::kChar, PgType::kOtherText}) {
    EXPECT_THROW(round_trip(type, Kind::kText, nul), Error);
  }
  EXPECT_EQ(round_trip(PgType::kBytea, Kind::kBytes, nul), nul);
}

TEST(Codec, TimesHaveRangesAndInfinities) {
  Chunk chunk;
  for (const std::int64_t micros : {std::int64_t{0}, std::int64_t{-1}, kPlusInfinity,
                                    kMinusInfinity, std::int64_t{1732497804123456}}) {
    const std::string bytes = encode(PgType::kTimestamptz, Cell::timestamp(micros));
    EXPECT_EQ(decode_binary(column(PgType::kTimestamptz), bytes, chunk).i, micros);
  }
  for (const std::int64_t days :
       {std::int64_t{0}, std::int64_t{-719528}, kPlusInfinity, kMinusInfinity}) {
    const std::string bytes = encode(PgType::kDate, Cell::date(days));
    EXPECT_EQ(decode_binary(column(PgType::kDate), bytes, chunk).i, days);
  }
  EXPECT_THROW(encode(PgType::kTimestamp, Cell::timestamp(INT64_MIN + 5)), Error);
  EXPECT_THROW(encode(PgType::kDate, Cell::date(std::int64_t{1} << 33)), Error);
}

TEST(Codec, RealsKeepTheirSpecialValues) {
  Chunk chunk;
  const auto through = [&](PgType type, double value) {
    return decode_binary(column(type), encode(type, Cell::real(value)), chunk).d;
  };
  EXPECT_TRUE(std::isnan(through(PgType::kFloat8, std::nan(""))));
  EXPECT_EQ(through(PgType::kFloat8, -HUGE_VAL), -HUGE_VAL);
  EXPECT_TRUE(std::signbit(through(PgType::kFloat8, -0.0)));
  EXPECT_EQ(through(PgType::kFloat8, 5e-324), 5e-324);
  EXPECT_EQ(through(PgType::kFloat4, HUGE_VAL), HUGE_VAL);
  EXPECT_THROW(through(PgType::kFloat4, 1e300), Error);
  EXPECT_EQ(decode_text(column(PgType::kFloat4), "0.1", chunk).d, through(PgType::kFloat4, 0.1));
}

TEST(Codec, UuidIsCheckedCharacterByCharacter) {
  const std::string uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  EXPECT_EQ(round_trip(PgType::kUuid, Kind::kUuid, uuid), uuid);
  for (const char* bad :
       {"", "a0eebc99", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", "a0eebc999c0b-4ef8-bb6d-6bb9bd380a111"}) {
    EXPECT_THROW(round_trip(PgType::kUuid, Kind::kUuid, bad), Error) << bad;
  }
}

TEST(Codec, BytesThatAreNoValueAreRefused) {
  Chunk chunk;
  for (const PgType type :
       {PgType::kBool, PgType::kInt2, PgType::kInt4, PgType::kInt8, PgType::kFloat4,
        PgType::kFloat8, PgType::kNumeric, PgType::kTimestamp, PgType::kDate}) {
    EXPECT_THROW(decode_binary(column(type), "", chunk), Error);
    EXPECT_THROW(decode_binary(column(type), "xyz", chunk), Error);
    EXPECT_THROW(decode_text(column(type), "?", chunk), Error) << static_cast<int>(type);
  }
  EXPECT_THROW(decode_binary(column(PgType::kUuid), "xyz", chunk), Error);
  EXPECT_THROW(decode_binary(column(PgType::kJsonb), "\2{}", chunk), Error);
  // Found by pg_codec_fuzz.
  const std::string_view nul("a\0b", 3);
  for (const PgType type : {PgType::kText, PgType::kChar, PgType::kOtherText, PgType::kJson}) {
    EXPECT_THROW(decode_binary(column(type), nul, chunk), Error) << static_cast<int>(type);
  }
  EXPECT_THROW(decode_binary(column(PgType::kJsonb), std::string_view("\1\0", 2), chunk), Error);
}

TEST(Codec, TextDatesAreReadWithYearsOfAnyLengthAndBeforeChrist) {
  Chunk chunk;
  const auto days = [&](std::string_view text) {
    return decode_text(column(PgType::kDate), text, chunk).i;
  };
  EXPECT_EQ(days("1970-01-01"), 0);
  EXPECT_EQ(days("2000-02-29"), 11016);
  EXPECT_EQ(days("0001-01-01 BC"), -719528);
  EXPECT_EQ(days("5874897-12-31"), 2145042905);
  const auto micros = [&](std::string_view text) {
    return decode_text(column(PgType::kTimestamptz), text, chunk).i;
  };
  EXPECT_EQ(micros("1970-01-01 00:00:01+00"), 1'000'000);
  EXPECT_EQ(micros("1970-01-01 00:00:00.5-01:30"), 5'400'500'000);
  EXPECT_EQ(micros("1969-12-31 23:59:59.999999"), -1);
  EXPECT_THROW(micros("1970-01-01"), Error);
  EXPECT_THROW(micros("1970-01-01 00:00:00+00 tomorrow"), Error);
  EXPECT_THROW(days("1970-13-01"), Error);
  EXPECT_THROW(micros("294276-12-31 23:59:59+00"), Error);
}

}  // namespace
}  // namespace switchback
