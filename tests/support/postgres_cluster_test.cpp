#include "tests/support/postgres_cluster.h"

#include <gtest/gtest.h>

namespace switchback::test {
namespace {

TEST(PostgresCluster, GivesDatabasesThatSurviveACrashAndAFolderThatDoesNotSurviveIt) {
  std::filesystem::path folder;
  {
    PostgresCluster cluster;
    folder = cluster.folder();
    const std::string db = cluster.fresh_database();
    EXPECT_EQ(cluster.sql(db,
                          "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, NULL);"
                          "SELECT * FROM t"),
              "1|NULL");
    cluster.restart(StopMode::kImmediate);
    EXPECT_EQ(cluster.sql(db, "SELECT count(*) FROM t"), "1");
    EXPECT_NE(cluster.fresh_database(), db);
    EXPECT_EQ(cluster.sql(db, "SHOW wal_level"), "logical");
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace switchback::test
