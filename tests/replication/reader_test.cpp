#include "replication/reader.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "state/base/deadline.h"
#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;

class Reader : public test::SinkFixture {
 protected:
  void make_reader() { reader_ = open_postgres_reader(conninfo_, mapping_); }
  /// Key and operation of each change: "+1 +2 -3 ?4".
  static std::string keys(const Chunk& chunk, std::uint16_t width) {
    std::string out;
    for (const Change& change : chunk.changes()) {
      const char* sign = change.op == Op::kUpsert ? "+" : change.op == Op::kDelete ? "-" : "?";
      out += sign + key_text(chunk, chunk.row(change).first(width)) + " ";
    }
    return out;
  }
  void pass_fence(const std::string& statement) {
    sql("BEGIN; SET LOCAL switchback.applying = 'on'; " + statement + "; COMMIT");
  }
  std::unique_ptr<RowReader> reader_;
};

TEST_F(Reader, ScansEveryRowOnceInParts) {
  make("CREATE TABLE t (a int, b text, v text, PRIMARY KEY (a, b))");
  pass_fence(
      "INSERT INTO t SELECT i / 10, 'b' || i % 10, repeat('x', 300) FROM"
      " generate_series(0, 9999) i");
  make_reader();
  ScanCursor cursor;
  std::size_t rows = 0;
  std::string last;
  for (int part = 0; !cursor.done; ++part) {
    ASSERT_LT(part, 1000);
    if (part % 3 == 1) make_reader();  // another process goes on from the cursor
    Chunk chunk;
    const Window window = reader_->scan(table("t").id, cursor, chunk);
    EXPECT_TRUE(window.to.reaches(window.from));
    EXPECT_LE(chunk.bytes(), 2 * Chunk::kFullBytes);
    for (const Change& change : chunk.changes()) {
      const auto row = chunk.row(change);
      const std::string key = std::string(8 - std::to_string(row[0].i).size(), '0') +
                              std::to_string(row[0].i) + std::string(chunk.text(row[1]));
      EXPECT_LT(last, key);
      last = key;
      ++rows;
    }
  }
  EXPECT_EQ(rows, 10000u);
  EXPECT_EQ(reader_->estimate(table("t").id), 10000u);
}

TEST_F(Reader, AnEmptyTableIsDoneAtOnce) {
  make("CREATE TABLE t (id int PRIMARY KEY)");
  make_reader();
  ScanCursor cursor;
  Chunk chunk;
  reader_->scan(table("t").id, cursor, chunk);
  EXPECT_TRUE(cursor.done);
  EXPECT_TRUE(chunk.empty());
  EXPECT_EQ(reader_->estimate(table("t").id), 0u);
}

TEST_F(Reader, FetchesRowsAndSaysWhichAreGone) {
  make("CREATE TABLE t (a int, ip inet, v text, n numeric, PRIMARY KEY (a, ip))");
  pass_fence(
      "INSERT INTO t VALUES (1, '10.0.0.1', 'x', 1.50), (2, '10.0.0.2', NULL, 'NaN'),"
      " (3, '10.0.0.3', 'x', 'Infinity')");
  make_reader();
  for (const char* a : {"3", "2", "9", "1"}) {
    remove("t", {a, std::string("10.0.0.") + a});
  }
  Chunk out;
  reader_->fetch(table("t").id, chunk_, out);
  EXPECT_EQ(keys(out, 2),
            "?[\"3\",\"10.0.0.3\"] +[\"2\",\"10.0.0.2\"] +[\"1\",\"10.0.0.1\"] "
            "-[\"9\",\"10.0.0.9\"] ");
  EXPECT_THAT(out.text(out.changes()[0].reason), HasSubstr("Infinity"));
  EXPECT_EQ(out.text(out.row(out.changes()[1])[3]), "NaN");
  EXPECT_EQ(out.row(out.changes()[1])[2].kind, Kind::kNull);
  EXPECT_EQ(out.text(out.row(out.changes()[2])[3]), "1.50");
}

TEST_F(Reader, ReadsWhatTheSinkWrote) {
  make(
      "CREATE TABLE t (id bigint PRIMARY KEY, ts timestamptz, a int[], iv interval, c char(3),"
      " g int GENERATED ALWAYS AS (1) STORED)");
  upsert("t", {"1", "2024-01-02 03:04:05.6+00", "{1,NULL}", "P1D", "a  ", std::nullopt});
  commit();
  make_reader();
  ScanCursor cursor;
  Chunk chunk;
  reader_->scan(table("t").id, cursor, chunk);
  ASSERT_EQ(chunk.changes().size(), 1u);
  const auto row = chunk.row(chunk.changes()[0]);
  EXPECT_EQ(row[1].i, 1704164645600000);
  EXPECT_EQ(chunk.text(row[2]), "{1,NULL}");
  EXPECT_EQ(chunk.text(row[3]), "P1D");
  EXPECT_EQ(row[5].i, 1);
}

TEST_F(Reader, LargeRowsDoNotFillTheMemory) {
  make("CREATE TABLE t (id int PRIMARY KEY, v text)");
  pass_fence("INSERT INTO t SELECT i, repeat('y', 1000000) FROM generate_series(1, 40) i");
  make_reader();
  ScanCursor cursor;
  std::size_t rows = 0;
  while (!cursor.done) {
    Chunk chunk;
    reader_->scan(table("t").id, cursor, chunk);
    EXPECT_LE(chunk.bytes(), 3 * Chunk::kFullBytes);
    rows += chunk.changes().size();
  }
  EXPECT_EQ(rows, 40u);
}

// What the slot's follower has been told already, other sessions cannot see yet.
TEST_F(Reader, ACommitThatWaitsForItsStandbyIsNotReadPast) {
  make("CREATE TABLE t (id int PRIMARY KEY, v int)");
  pass_fence("INSERT INTO t VALUES (1, 0)");
  sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  sql("SELECT pg_reload_conf()");
  std::atomic<bool> waits = false;
  std::thread writer([&] {
    // The server's own processes do not all notice the setting at once.
    while (!waits) pass_fence("UPDATE t SET v = v + 1");
  });
  const Deadline deadline = Deadline::in(std::chrono::seconds(30));
  while (!waits && !deadline.passed()) {
    waits = sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1";
  }
  EXPECT_TRUE(waits);
  make_reader();
  remove("t", {"1"});
  Chunk out;
  EXPECT_THROW(reader_->fetch(table("t").id, chunk_, out), Error);
  waits = true;
  sql("ALTER SYSTEM RESET synchronous_standby_names");
  sql("SELECT pg_reload_conf()");
  writer.join();
  out.clear();
  reader_->fetch(table("t").id, chunk_, out);
  ASSERT_EQ(out.changes().size(), 1u);
  EXPECT_EQ(std::to_string(out.row(out.changes()[0])[1].i), sql("SELECT v FROM t"));
}

}  // namespace
}  // namespace switchback
