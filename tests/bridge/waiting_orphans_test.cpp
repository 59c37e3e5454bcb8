#include "bridge/waiting_orphans.h"

#include <gmock/gmock.h>

namespace switchback {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr TableId kTable{0};
constexpr std::size_t kMost = 10;

RowName row(const char* key) {
  return {kTable, key};
}

TEST(WaitingOrphans, AreCalledByTheKeyTheyWaitFor) {
  WaitingOrphans orphans;
  orphans.wait(row("a"), {1, 2}, {10});
  orphans.wait(row("b"), {2}, {11});
  EXPECT_THAT(orphans.waiting_for(1), ElementsAre(row("a")));
  EXPECT_THAT(orphans.waiting_for(2), ElementsAre(row("a"), row("b")));
  EXPECT_THAT(orphans.waiting_for(10), IsEmpty());
  orphans.wait(row("a"), {3}, {10});
  EXPECT_THAT(orphans.waiting_for(1), IsEmpty()) << "it refers to another one now";
  orphans.forget(row("a"));
  orphans.forget(row("b"));
  EXPECT_THAT(orphans.waiting_for(2), IsEmpty());
  EXPECT_TRUE(orphans.empty());
}

TEST(WaitingOrphans, ACircleIsFoundFromEachOfItAndHasWhatItNeeds) {
  WaitingOrphans orphans;
  orphans.wait(row("a"), {2}, {1});
  orphans.wait(row("b"), {3}, {2});
  EXPECT_THAT(orphans.circle_of(row("b"), kMost), IsEmpty());
  orphans.wait(row("c"), {1, 4}, {3});
  orphans.wait(row("d"), {9}, {4});  // which "c" needs, too
  orphans.wait(row("e"), {1}, {5});  // only hangs on the circle
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_THAT(orphans.circle_of(row(name), kMost),
                ElementsAre(row("a"), row("b"), row("c"), row("d")));
  }
  for (const char* name : {"d", "e", "of no row"}) {
    EXPECT_THAT(orphans.circle_of(row(name), kMost), IsEmpty());
  }
  EXPECT_THAT(orphans.circle_of(row("a"), 3), IsEmpty()) << "more than asked for";
}

TEST(WaitingOrphans, ARowThatRefersToItselfIsACircle) {
  WaitingOrphans orphans;
  orphans.wait(row("a"), {1}, {1});
  EXPECT_THAT(orphans.circle_of(row("a"), kMost), ElementsAre(row("a")));
}

}  // namespace
}  // namespace switchback
