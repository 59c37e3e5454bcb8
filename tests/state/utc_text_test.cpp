#include "state/base/utc_text.h"

#include <gtest/gtest.h>

#include <chrono>

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

TEST(UtcText, IsIso8601) {
  const system_clock::time_point when(milliseconds(1'769'860'800'007));
  EXPECT_EQ(utc_text(when), "2026-01-31T12:00:00Z");
  EXPECT_EQ(utc_text_ms(when), "2026-01-31T12:00:00.007Z");
}

TEST(UtcText, CutsDownwardsBefore1970) {
  const system_clock::time_point when(milliseconds(-1));
  EXPECT_EQ(utc_text(when), "1969-12-31T23:59:59Z");
  EXPECT_EQ(utc_text_ms(when), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace switchback
