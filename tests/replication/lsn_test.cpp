#include "replication/lsn.h"

#include <gtest/gtest.h>

#include <cctype>

namespace switchback {
namespace {

TEST(Lsn, HasTheServersSpelling) {
  EXPECT_EQ(to_string(Lsn{0}), "0/0");
  EXPECT_EQ(to_string(Lsn{0x16B374D848}), "16/B374D848");
  EXPECT_EQ(to_string(Lsn{0x100000001}), "1/1");
  EXPECT_EQ(to_string(Lsn{UINT64_MAX}), "FFFFFFFF/FFFFFFFF");
}

TEST(Lsn, ReadsBackEveryBit) {
  for (int bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t value :
         {std::uint64_t{1} << bit, (std::uint64_t{1} << bit) - 1, ~(std::uint64_t{1} << bit)}) {
      EXPECT_EQ(parse_lsn(to_string(Lsn{value})), Lsn{value}) << value;
    }
  }
}

TEST(Lsn, TakesEitherCase) {
  EXPECT_EQ(parse_lsn("aB/cDeF"), (Lsn{0xAB0000CDEF}));
}

TEST(Lsn, RefusesEverythingElse) {
  for (const char* text :
       {"",     "/",    "0",    "0/",    "/0",    "0/0/0",       "0/0 ",        " 0/0",
        "0//0", "+1/0", "0/-1", "0x1/0", "1/0x1", "100000000/0", "0/100000000", "00/0",
        "0/01", "G/0",  "0/G",  "0\\0",  "1 /0",  "1/ 0"}) {
    EXPECT_EQ(parse_lsn(text), std::nullopt) << "'" << text << "'";
  }
  EXPECT_EQ(parse_lsn(std::string_view("0/0\0", 4)), std::nullopt);
}

TEST(Lsn, RefusesEveryByteThatIsNoHexDigit) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = {'1', '/', static_cast<char>(byte)};
    const bool digit = std::isxdigit(byte) != 0;
    EXPECT_EQ(parse_lsn(text).has_value(), digit) << byte;
  }
}

TEST(Lsn, IsOrderedByPosition) {
  EXPECT_LT((Lsn{0xFFFFFFFF}), (Lsn{0x100000000}));
  EXPECT_EQ((Lsn{5}), (Lsn{5}));
}

}  // namespace
}  // namespace switchback
