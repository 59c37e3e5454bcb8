// What the sink writes when nothing is wrong, and its position.
#include "replication/sink.h"

#include <gmock/gmock.h>

#include "state/base/error.h"
#include "tests/replication/sink_fixture.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kSimple =
    "CREATE TABLE t (id int PRIMARY KEY, name text, note text DEFAULT 'kept')";

class Sink : public test::SinkFixture {};

TEST_F(Sink, PositionAndRowsComeTogether) {
  make(kSimple);
  EXPECT_EQ(sink_->applied(), Position{});
  upsert("t", {"1", "one", std::nullopt});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sink_->durable(), (Position{7, 1, 1}));
  upsert("t", {"2", "two", std::nullopt});
  apply();
  sink_->rollback();
  EXPECT_EQ(sink_->applied(), (Position{7, 1, 1}));
  EXPECT_EQ(sql("SELECT * FROM t"), "1|one|NULL");
  sink_.reset();
  sink_ = open_sink();
  EXPECT_EQ(sink_->applied(), (Position{7, 1, 1}));
  EXPECT_EQ(sql("SELECT bridge, store, history, value, proof FROM switchback.checkpoint"),
            "test|app|7|1|1");
}

TEST_F(Sink, PositionsKeepAllTheirBits) {
  make(kSimple);
  const Position far{UINT64_MAX, UINT64_MAX - 1, std::uint64_t{1} << 63};
  sink_->commit(far, {});
  EXPECT_EQ(sink_->applied(), far);
}

TEST_F(Sink, ABatchMayBeRepeated) {
  make(kSimple);
  for (int round = 0; round < 2; ++round) {
    upsert("t", {"1", "one", "a"});
    upsert("t", {"2", std::nullopt, "b"});
    remove("t", {"3"});
    rename("t", {"4"}, {"5", "five", "e"});
    EXPECT_THAT(commit(), IsEmpty());
  }
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "1|one|a\n2|NULL|b\n5|five|e");
}

TEST_F(Sink, ColumnsThatTheOldSideDoesNotHaveStayPostgresOwn) {
  make(kSimple);
  table("t").columns[2].old_name.clear();
  upsert("t", {"1", "one", std::nullopt});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t"), "1|one|kept") << "a new row gets the default";
  connection_->exec(
      "BEGIN; SET LOCAL switchback.applying = 'on'; UPDATE t SET note = 'written here'; COMMIT");
  upsert("t", {"1", "uno", std::nullopt});
  rename("t", {"1"}, {"2", "due", std::nullopt});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t"), "2|due|written here");
}

TEST_F(Sink, ABoundaryAloneMovesThePosition) {
  make(kSimple);
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sink_->applied(), (Position{7, 1, 1}));
}

TEST_F(Sink, OrderHoldsAcrossKindsOfChangesAndTheSameKeyTwice) {
  make(kSimple);
  upsert("t", {"1", "first", "x"});
  upsert("t", {"1", "second", "x"});
  remove("t", {"1"});
  upsert("t", {"2", "two", "x"});
  remove("t", {"2"});
  upsert("t", {"2", "again", "x"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t"), "2|again|x");
}

TEST_F(Sink, ManyRowsTakeSeveralStatements) {
  make(kSimple);
  for (int i = 0; i < 10000; ++i) upsert("t", {std::to_string(i), "n", "x"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT count(*), sum(id) FROM t"), "10000|49995000");
  for (int i = 0; i < 10000; i += 2) remove("t", {std::to_string(i)});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT count(*), min(id) FROM t"), "5000|1");
}

TEST_F(Sink, UnchangedCellsStayAsTheyAre) {
  make(kSimple);
  sql("SELECT 1");
  upsert("t", {"1", "one", "long text"});
  upsert("t", {"2", "two", "long text"});
  commit();
  upsert("t", {"1", "uno", "<unchanged>"});
  upsert("t", {"2", "<unchanged>", "<unchanged>"});
  rename("t", {"2"}, {"3", "tre", "<unchanged>"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "1|uno|long text\n3|tre|long text");
  upsert("t", {"9", "nine", "<unchanged>"});
  upsert("t", {"1", "eins", "<unchanged>"});
  const auto rejects = commit();
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_EQ(rejects[0].key, R"(["9"])");
  EXPECT_THAT(rejects[0].reason, HasSubstr("not there"));
  EXPECT_EQ(sql("SELECT name FROM t ORDER BY id"), "eins\ntre");
}

TEST_F(Sink, RenameKeepsColumnsThatNobodyMaps) {
  make(kSimple);
  upsert("t", {"1", "one", "a"});
  upsert("t", {"2", "two", "b"});
  commit();
  sql("ALTER TABLE t ADD COLUMN theirs text DEFAULT 'x'");
  sql("BEGIN; SET LOCAL switchback.applying = 'on'; UPDATE t SET theirs = 'precious'; COMMIT");
  rename("t", {"1"}, {"10", "ten", "a"});
  rename("t", {"10"}, {"11", "eleven", "a"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "2|two|b|precious\n11|eleven|a|precious");
}

TEST_F(Sink, TruncateEmptiesAlsoWhatOthersReferTo) {
  make("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE q (id int PRIMARY KEY REFERENCES p)");
  upsert("p", {"1"});
  upsert("q", {"1"});
  commit();
  chunk_.end_truncate(table("q").id);
  chunk_.end_truncate(table("p").id);
  upsert("p", {"2"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT id FROM p"), "2");
}

TEST_F(Sink, NamesThatNeedQuotingAndKeysOfSeveralColumns) {
  make(R"(CREATE SCHEMA "Od d"; CREATE TABLE "Od d"."Ta""ble" ("se""l ect" int, "b" text,
          "$v" text, PRIMARY KEY (b, "se""l ect")))");
  upsert("Ta\"ble", {"k", "1", "a"});
  upsert("Ta\"ble", {"k", "2", "b"});
  commit();
  rename("Ta\"ble", {"k", "1"}, {"m", "1", "c"});
  remove("Ta\"ble", {"k", "2"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql(R"(SELECT * FROM "Od d"."Ta""ble")"), "1|m|c");
}

TEST_F(Sink, IdentityAndGeneratedColumns) {
  make(
      "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,"
      " twice int GENERATED ALWAYS AS (a * 2) STORED)");
  upsert("t", {"5", "1", "99"});
  upsert("t", {"6", "2", std::nullopt});
  commit();
  upsert("t", {"5", "10", "99"});
  rename("t", {"6"}, {"7", "3", std::nullopt});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t ORDER BY id"), "5|10|20\n7|3|6");
}

TEST_F(Sink, EveryTypeArrives) {
  make(R"(CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN short AS varchar(3);
    CREATE TABLE t (id uuid PRIMARY KEY, b boolean, i2 smallint, i4 int, i8 bigint, f4 real,
    f8 double precision, n numeric, n2 numeric(10,2), t text, v varchar(5), c char(4), y bytea,
    j json, jb jsonb, ts timestamp, tz timestamptz, d date, e mood, iv interval, a text[], ia int[],
    bits bit(3), tm time, ip inet, s short))");
  const test::Values values = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                               "t",
                               "-3",
                               "4",
                               "5",
                               "0.5",
                               "NaN",
                               "123456789012345678901234567890.5",
                               "12.30",
                               "t\xc3\xa4xt",
                               "v",
                               "c   ",
                               "\\x00ff",
                               "{\"a\": 1}",
                               "{\"a\": 1}",
                               "2024-01-02 03:04:05.678",
                               "2024-01-02 03:04:05+00",
                               "infinity",
                               "bad",
                               "P1DT2H",
                               "{a,\"b,c\",NULL}",
                               "{1,2}",
                               "101",
                               "01:02:03.5",
                               "10.0.0.1",
                               "abc"};
  upsert("t", values);
  test::Values nulls(values.size());
  nulls[0] = "00000000-0000-0000-0000-000000000000";
  upsert("t", nulls);
  EXPECT_THAT(commit(), IsEmpty());
  std::string expected;
  for (const auto& value : values) expected += (expected.empty() ? "" : "|") + *value;
  EXPECT_EQ(sql("SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC';"
                "SELECT * FROM t WHERE b"),
            expected);
  EXPECT_EQ(
      sql("SELECT num_nulls(b,i2,i4,i8,f4,f8,n,n2,t,v,c,y,j,jb,ts,tz,d,e,iv,a,ia,bits,tm,ip,s)"
          " FROM t WHERE b IS NULL"),
      "25");
}

TEST_F(Sink, KeyOfATypeCarriedAsText) {
  make("CREATE TABLE t (ip inet PRIMARY KEY, v int)");
  upsert("t", {"10.0.0.1", "1"});
  upsert("t", {"10.0.0.2", "2"});
  commit();
  remove("t", {"10.0.0.1"});
  rename("t", {"10.0.0.2"}, {"10.0.0.3", "3"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT * FROM t"), "10.0.0.3|3");
}

TEST_F(Sink, ASecondSinkIsRefusedAndNamesTheFirst) {
  make(kSimple);
  const auto second = open_sink();
  try {
    second->applied();
    FAIL() << "two sinks at once";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRefused);
    EXPECT_THAT(error.what(), HasSubstr("another switchback runs"));
    EXPECT_THAT(error.what(), HasSubstr("switchback test sink app"));
  }
  EXPECT_THROW(second->applied(), Error);  // not taken for the holder by then
  sink_.reset();
  EXPECT_NO_THROW(second->applied());
}

TEST_F(Sink, ALostConnectionLosesNothingThatWasCommitted) {
  make(kSimple);
  upsert("t", {"1", "one", "x"});
  commit();
  upsert("t", {"2", "two", "x"});
  apply();
  sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE "
      "'%sink%'");
  upsert("t", {"3", "three", "x"});
  try {
    commit();
    FAIL() << "committed over a dead connection";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnreachable) << error.what();
    EXPECT_EQ(error.retry(), Retry::kLater);
  }
  sink_->rollback();
  EXPECT_EQ(sink_->applied(), (Position{7, 1, 1}));
  EXPECT_EQ(sql("SELECT id FROM t"), "1");
}

TEST_F(Sink, ALockThatDoesNotComeIsNotTheRowsFault) {
  make(kSimple);
  connection_->exec("BEGIN; LOCK TABLE public.t IN SHARE MODE");
  upsert("t", {"1", "one", "x"});
  try {
    commit();
    FAIL() << "applied through a lock";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBusy) << error.what();
  }
  sink_->rollback();
  connection_->exec("ROLLBACK");
  chunk_.clear();
  upsert("t", {"1", "one", "x"});
  EXPECT_THAT(commit(), IsEmpty());
  EXPECT_EQ(sql("SELECT id FROM t"), "1");
}

}  // namespace
}  // namespace switchback
