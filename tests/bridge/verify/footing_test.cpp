#include "bridge/verify/footing.h"

#include <gtest/gtest.h>

namespace switchback {
namespace {

const Footing kBefore{{"the fence of tweets", "closed"}, {"the schema of tweets", "id, text"}};

TEST(FootingTest, SaysNothingOfWhatIsAsItWas) {
  EXPECT_EQ(what_moved(kBefore, kBefore), "");
}

TEST(FootingTest, NamesWhatChangedWentAndCame) {
  Footing now = kBefore;
  now["the schema of tweets"] = "id, text, likes";
  EXPECT_EQ(what_moved(kBefore, now), "the schema of tweets was changed");
  now = kBefore;
  now.erase("the fence of tweets");
  EXPECT_EQ(what_moved(kBefore, now), "the fence of tweets is gone");
  now = kBefore;
  now["capture of users"] = "on";
  EXPECT_EQ(what_moved(kBefore, now), "capture of users is new");
}

TEST(FootingTest, LooksOnlyAtWhatCounts) {
  const auto no_fence = [](const std::string& what) { return !what.starts_with("the fence"); };
  const Footing now{{"the fence of users", "open"}, {"the schema of tweets", "id, text"}};
  EXPECT_EQ(what_moved(kBefore, now), "the fence of tweets is gone");
  EXPECT_EQ(what_moved(kBefore, now, no_fence), "");
}

}  // namespace
}  // namespace switchback
