// Rows that stay when the old side drops them (deletes = "keep").
#include "replication/outlived.h"

#include <gtest/gtest.h>

#include "replication/reader.h"
#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

class Outlived : public test::SinkFixture {
 protected:
  void make_kept(const std::string& schema) {
    make(schema);
    for (auto& map : mapping_->tables) map.keep_deleted = true;
    sink_ = open_sink();
    sink_->applied();
  }
  /// The first key columns that a reader of the bridge sees by scanning, and of `asked` by asking.
  std::string scanned(const std::string& name) {
    const auto reader = open_postgres_reader(conninfo_, mapping_);
    std::string out;
    for (ScanCursor cursor; !cursor.done;) {
      Chunk rows;
      reader->scan(table(name).id, cursor, rows);
      for (const Change& change : rows.changes()) out += first_of(rows, change);
    }
    return out;
  }
  std::string fetched(const std::string& name, const std::vector<test::Values>& asked) {
    const auto reader = open_postgres_reader(conninfo_, mapping_);
    for (const auto& key : asked) remove(name, key);
    Chunk keys = std::exchange(chunk_, {}), rows;
    reader->fetch(table(name).id, keys, rows);
    std::string out;
    for (const Change& change : rows.changes()) {
      if (change.op == Op::kUpsert) out += first_of(rows, change);
    }
    return out;
  }
  static std::string first_of(const Chunk& rows, const Change& change) {
    return std::to_string(rows.row(change)[0].i) + " ";
  }
  void past_the_fence(const std::string& statement) {
    sql("BEGIN; SET LOCAL switchback.applying = 'on'; " + statement + "; COMMIT");
  }
};

TEST_F(Outlived, ADroppedRowStaysAndNobodyOfTheBridgeSeesIt) {
  make_kept("CREATE TABLE ring (id int PRIMARY KEY, v text)");
  for (const char* id : {"1", "2", "3"}) upsert("ring", {id, "v"});
  commit();
  remove("ring", {"1"});
  remove("ring", {"9"});  // was never there
  EXPECT_TRUE(commit().empty());
  EXPECT_EQ(sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM ring"), "1 2 3");
  EXPECT_EQ(scanned("ring"), "2 3 ");
  EXPECT_EQ(fetched("ring", {{"1"}, {"2"}, {"9"}}), "2 ");
  EXPECT_EQ(sql("SELECT key FROM switchback.outlived"), "[1]");
}

TEST_F(Outlived, WhoeverWritesItMakesItARowLikeAnyOther) {
  make_kept("CREATE TABLE ring (id int PRIMARY KEY, v text)");
  for (const char* id : {"1", "2", "3"}) upsert("ring", {id, "v"});
  commit();
  for (const char* id : {"1", "2", "3"}) remove("ring", {id});
  commit();
  EXPECT_EQ(scanned("ring"), "");
  past_the_fence("UPDATE ring SET v = 'other' WHERE id = 1");
  upsert("ring", {"2", "v"});  // back as it was
  commit();
  past_the_fence("DELETE FROM ring WHERE id = 3; INSERT INTO ring VALUES (3, 'new')");
  EXPECT_EQ(scanned("ring"), "1 2 3 ");
  remove("ring", {"1"});
  commit();
  EXPECT_EQ(scanned("ring"), "2 3 ") << "and it can be dropped again";
}

TEST_F(Outlived, KeysOfAllKindsAndRowsOfNothingElse) {
  make_kept(
      "CREATE TABLE pair (a int, b text, at timestamptz, PRIMARY KEY (a, b, at));"
      "CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
      "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10)");
  const test::Values key{"1", "quote \" and ' and \\", "2024-01-01 00:00:00.5+00"};
  upsert("pair", key);
  upsert("part", {"1", "v"});
  upsert("part", {"2", "v"});
  commit();
  remove("pair", key);
  remove("part", {"1"});
  commit();
  EXPECT_EQ(scanned("pair"), "");
  EXPECT_EQ(scanned("part"), "2 ");
  upsert("pair", key);
  commit();
  EXPECT_EQ(scanned("pair"), "1 ") << "the key alone comes back";
  sql("VACUUM (FREEZE) part");
  EXPECT_EQ(scanned("part"), "2 ");
}

TEST_F(Outlived, TheBridgesRemovalTakesTheNotesAlong) {
  make_kept("CREATE TABLE ring (id int PRIMARY KEY, v text)");
  upsert("ring", {"1", "v"});
  commit();
  remove("ring", {"1"});
  commit();
  sink_.reset();
  remove_postgres(*connection_, *mapping_, "app");
  EXPECT_EQ(sql("SELECT count(*) FROM ring"), "1");
  EXPECT_EQ(sql("SELECT coalesce(to_regclass('switchback.outlived')::text, '')"), "");
}

}  // namespace
}  // namespace switchback
