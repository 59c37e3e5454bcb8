// Which side an error is shown under.
#include "bridge/old_store.h"

#include <gtest/gtest.h>

#include "state/base/error.h"

namespace switchback {
namespace {

Side side_of_object(const std::string& object) {
  return side_of(Error(ErrorKind::kHistory, Retry::kNever, "it is gone", {.object = object}));
}

TEST(OldStore, AnErrorOfPostgresItsSlotOrItsStreamIsNotTheOldStores) {
  EXPECT_EQ(side_of_object("PostgreSQL"), Side::kPostgres);
  EXPECT_EQ(side_of_object("slot switchback_shop_app"), Side::kPostgres);
  EXPECT_EQ(side_of_object("replication stream"), Side::kPostgres);
  EXPECT_EQ(side_of_object("/srv/shop/twitter.db"), Side::kOld);
  EXPECT_EQ(side_of_object("/srv/slot machines/twitter.db"), Side::kOld);
}

}  // namespace
}  // namespace switchback
