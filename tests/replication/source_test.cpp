#include "replication/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <thread>

#include "replication/history.h"
#include "replication/meta.h"
#include "replication/names.h"
#include "replication/slot.h"
#include "state/base/error.h"
#include "tests/support/postgres_cluster.h"

namespace switchback {
namespace {

using namespace std::chrono_literals;
using test::PostgresCluster;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ColumnMap column(const char* name, PgType type, const char* type_name) {
  ColumnMap map;
  map.old_name = map.name = name;
  map.type = type;
  map.type_name = type_name;
  return map;
}

std::shared_ptr<const Mapping> mapping() {
  auto all = std::make_shared<Mapping>();
  all->bridge = "source_test";
  TableMap note;
  note.id = TableId{0};
  note.store = "app";
  note.schema = "public";
  note.table = "note";
  note.key_width = 1;
  note.columns = {column("id", PgType::kInt8, "bigint"), column("body", PgType::kText, "text"),
                  column("n", PgType::kInt4, "integer")};
  TableMap child = note;
  child.id = TableId{1};
  child.table = "child";
  all->tables = {note, child};
  return all;
}

std::string spell(const Chunk& chunk, const Change& change) {
  std::string out = std::to_string(index(change.table));
  switch (change.op) {
    case Op::kUpsert:
      out += " upsert";
      break;
    case Op::kDelete:
      out += " delete";
      break;
    case Op::kTruncate:
      out += " truncate";
      break;
    case Op::kMisfit:
      out += " misfit";
      break;
  }
  if (change.old_key != Change::kNone) {
    out += " " + std::to_string(chunk.old_key(change, 1)[0].i) + " ->";
  }
  for (const Cell& cell : chunk.row(change)) {
    out += " ";
    if (cell.kind == Kind::kNull || cell.kind == Kind::kUnchanged) {
      out += to_string(cell.kind);
    } else {
      out += has_text(cell.kind) ? std::string(chunk.text(cell)) : std::to_string(cell.i);
    }
  }
  return out;
}

class SourceTest : public testing::Test {
 protected:
  SourceTest()
      : conninfo(PostgresCluster::shared().fresh_database()),
        maps(mapping()),
        names(names_for(maps->bridge, "app")),
        sql(Connection::open(conninfo, "test")) {
    for (const auto& statement : plan_meta(sql)) sql.exec(statement);
    sql.exec(
        "CREATE TABLE public.note(id bigint PRIMARY KEY, body text, n integer);"
        "ALTER TABLE public.note ALTER body SET STORAGE EXTERNAL;"
        "CREATE TABLE public.child(id bigint PRIMARY KEY REFERENCES public.note ON DELETE CASCADE,"
        " body text, n integer);"
        "CREATE TABLE public.stranger(id bigint PRIMARY KEY)");
    sql.exec("CREATE PUBLICATION " + names.publication + " FOR TABLE public.note, public.child");
    make_slot();
    source = open();
  }
  ~SourceTest() override {
    source.reset();
    // The server takes a moment to notice that its reader is gone.
    wait_until([&] { return !inspect_slot(sql, names.slot).active_pid; });
    drop_slot(sql, names.slot);
  }

  void make_slot(Writers writers = Writers::kFenced) {
    Connection replication = Connection::open(conninfo, "test", ConnectionUse::kReplication);
    make_slot_ready(sql, replication, maps->bridge, "app", names.slot, writers);
  }
  std::unique_ptr<ChangeSource> open(std::chrono::milliseconds every = 10s) {
    return open_postgres_source({.conninfo = conninfo, .store = "app", .position_every = every},
                                maps);
  }
  static void wait_until(const std::function<bool()>& condition) {
    const Deadline deadline = Deadline::in(20s);
    while (!condition()) {
      ASSERT_FALSE(deadline.passed()) << "the awaited condition did not come";
      std::this_thread::yield();
    }
  }
  void drain() { sql.exec("SELECT pg_logical_emit_message(true, 'switchback', 'drain')"); }
  Lsn flushed() { return *parse_lsn(sql.exec("SELECT pg_current_wal_flush_lsn()").text(0, 0)); }

  /// Writes a drain marker and pulls until it has come: everything in between, in order.
  std::vector<std::string> pull_all() {
    const Lsn before = flushed();
    drain();
    std::vector<std::string> out;
    const Deadline deadline = Deadline::in(20s);
    while (!deadline.passed()) {
      if (source->pull(chunk, deadline, stop.get_token()) == Pull::kIdle) continue;
      for (const Change& change : chunk.changes()) out.push_back(spell(chunk, change));
      if (!chunk.boundary) continue;
      position = *chunk.boundary;
      if (Lsn{position.value} > before) return out;
    }
    ADD_FAILURE() << "the drain marker did not come";
    return out;
  }
  /// start(), waiting for the server to notice that the last reader is gone.
  void start_again(const Position& applied) {
    wait_until([&] {
      try {
        source->start(applied);
        return true;
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kBusy) throw;
        return false;
      }
    });
  }
  void expect_refused(const Position& applied, ErrorKind kind, const std::string& why) {
    try {
      source->start(applied);
      ADD_FAILURE() << "started; expected: " << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(why));
    }
  }

  const std::string conninfo;
  const std::shared_ptr<const Mapping> maps;
  const ObjectNames names;
  Connection sql;
  std::unique_ptr<ChangeSource> source;
  std::stop_source stop;
  Chunk chunk;
  Position position;
};

TEST_F(SourceTest, BothWaysToAskForTheHistoryAgree) {
  Connection replication = Connection::open(conninfo, "test", ConnectionUse::kReplication);
  const auto history = postgres_history(replication);
  EXPECT_EQ(history, postgres_history_by_sql(sql));
  EXPECT_NE(history, 0u);
  EXPECT_EQ(history >> 63, 0u);
  sql.exec("CREATE ROLE nobody_special LOGIN");
  sql.exec("SET SESSION AUTHORIZATION nobody_special");
  EXPECT_EQ(history, postgres_history_by_sql(sql));
  sql.exec("RESET SESSION AUTHORIZATION");
  sql.exec("DROP ROLE nobody_special");
}

TEST_F(SourceTest, TransactionsComeInCommitOrderWithoutWhatWasRolledBack) {
  source->start({});
  Connection second = Connection::open(conninfo, "test");
  sql.exec("BEGIN");
  sql.exec("INSERT INTO public.note VALUES (1, 'late', 1)");
  second.exec("INSERT INTO public.note VALUES (2, 'early', 2)");
  sql.exec("SAVEPOINT a");
  sql.exec("INSERT INTO public.note VALUES (3, 'undone', 3)");
  sql.exec("ROLLBACK TO a");
  sql.exec("SAVEPOINT b");
  sql.exec("INSERT INTO public.note VALUES (4, 'kept', NULL)");
  sql.exec("RELEASE b");
  sql.exec("INSERT INTO public.stranger VALUES (1)");
  sql.exec("COMMIT");
  second.exec("BEGIN");
  second.exec("DELETE FROM public.note");
  second.exec("ROLLBACK");
  EXPECT_THAT(pull_all(),
              ElementsAre("0 upsert 2 early 2", "0 upsert 1 late 1", "0 upsert 4 kept null"));
  EXPECT_EQ(position.history, postgres_history_by_sql(sql));
  EXPECT_EQ(position.proof, 0u);
}

TEST_F(SourceTest, EchoesAreDropped) {
  source->start({});
  sql.exec("BEGIN");
  sql.exec("SELECT pg_logical_emit_message(true, 'switchback', 'echo')");
  sql.exec("INSERT INTO public.note VALUES (1, 'ours', 1)");
  sql.exec("COMMIT");
  sql.exec("INSERT INTO public.note VALUES (2, 'theirs', 2)");
  EXPECT_THAT(pull_all(), ElementsAre("0 upsert 2 theirs 2"));
}

TEST_F(SourceTest, RenameKeepsUnchangedToastApart) {
  source->start({});
  sql.exec("INSERT INTO public.note VALUES (1, repeat('x', 9000), 1)");
  sql.exec("UPDATE public.note SET id = 2");
  sql.exec("UPDATE public.note SET n = NULL");
  const auto changes = pull_all();
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].size(), std::string("0 upsert 1  1").size() + 9000);
  EXPECT_EQ(changes[1], "0 upsert 1 -> 2 unchanged 1");
  EXPECT_EQ(changes[2], "0 upsert 2 unchanged null");
}

TEST_F(SourceTest, TruncateAndCascadesArrive) {
  source->start({});
  sql.exec("INSERT INTO public.note VALUES (1, 'a', 1), (2, 'b', 2)");
  sql.exec("INSERT INTO public.child VALUES (1, 'a', 1), (2, 'b', 2)");
  sql.exec("DELETE FROM public.note WHERE id = 1");
  sql.exec("TRUNCATE public.note CASCADE");
  EXPECT_THAT(pull_all(),
              ElementsAre("0 upsert 1 a 1", "0 upsert 2 b 2", "1 upsert 1 a 1", "1 upsert 2 b 2",
                          "0 delete 1", "1 delete 1", "0 truncate", "1 truncate"));
}

TEST_F(SourceTest, RestartGivesExactlyTheRest) {
  source->start({});
  sql.exec("INSERT INTO public.note VALUES (1, 'a', 1)");
  EXPECT_THAT(pull_all(), ElementsAre("0 upsert 1 a 1"));
  const Position middle = position;
  sql.exec("INSERT INTO public.note VALUES (2, 'b', 2)");
  EXPECT_THAT(pull_all(), ElementsAre("0 upsert 2 b 2"));
  // Not acknowledged: it comes again, and nothing before it does.
  for (int round = 0; round < 2; ++round) {
    start_again(middle);
    EXPECT_THAT(pull_all(), ElementsAre("0 upsert 2 b 2"));
  }
  start_again(position);
  EXPECT_THAT(pull_all(), IsEmpty());
}

TEST_F(SourceTest, ManySmallTransactionsShareAChunk) {
  source->start({});
  sql.exec(
      "DO $$ BEGIN FOR i IN 1..500 LOOP INSERT INTO public.note VALUES (i, 'x', i); COMMIT;"
      " END LOOP; END $$");
  drain();
  std::size_t changes = 0, chunks = 0;
  wait_until([&] { return source->lag().changes == 500; });
  while (changes < 500) {
    ASSERT_EQ(source->pull(chunk, Deadline::in(20s), stop.get_token()), Pull::kChunk);
    changes += chunk.changes().size();
    ++chunks;
  }
  EXPECT_EQ(chunks, 1u);
  EXPECT_TRUE(chunk.boundary.has_value());
}

TEST_F(SourceTest, AHugeTransactionIsManyChunksWithOneBoundary) {
  source->start({});
  pull_all();
  sql.exec(
      "INSERT INTO public.note SELECT i, repeat('x', 1000), i FROM generate_series(1, 60000) i");
  std::size_t changes = 0, chunks = 0, largest = 0;
  do {
    ASSERT_EQ(source->pull(chunk, Deadline::in(20s), stop.get_token()), Pull::kChunk);
    // While the server reads its log, positions without changes may come first.
    if (chunk.empty() && changes == 0) continue;
    changes += chunk.changes().size();
    largest = std::max(largest, chunk.bytes());
    ++chunks;
  } while (changes == 0 || !chunk.boundary);
  EXPECT_EQ(changes, 60000u);
  EXPECT_GT(chunks, 50u);
  EXPECT_LT(largest, Chunk::kFullBytes + 16384);
}

TEST_F(SourceTest, AFullQueueLosesNothingAndTheServerIsAnswered) {
  source->start({});
  pull_all();
  sql.exec(
      "INSERT INTO public.note SELECT i, repeat('x', 1000), i FROM generate_series(1, 30000) i");
  wait_until([&] { return source->lag().changes > 7000; });
  // Nobody pulls; the reports of the receiving thread go on.
  const std::string last_reply =
      "SELECT reply_time FROM pg_stat_replication WHERE pid = (SELECT active_pid FROM"
      " pg_replication_slots WHERE slot_name = '" +
      names.slot + "')";
  const std::string before = sql.exec(last_reply).string(0, 0);
  wait_until([&] { return sql.exec(last_reply).text(0, 0) != before; });
  EXPECT_LT(source->lag().changes, 9000u);  // 8 MiB of them
  EXPECT_EQ(pull_all().size(), 30000u);
}

TEST_F(SourceTest, OnlyWhatIsAcknowledgedIsConfirmed) {
  const Lsn born = inspect_slot(sql, names.slot).confirmed;
  source->start({});
  sql.exec("INSERT INTO public.note VALUES (1, 'a', 1)");
  pull_all();
  const Position first = position;
  sql.exec("INSERT INTO public.note VALUES (2, 'b', 2)");
  pull_all();
  EXPECT_EQ(inspect_slot(sql, names.slot).confirmed, born);
  source->acknowledge({first.history + 1, position.value, 0});  // another history: no meaning here
  source->acknowledge({first.history, position.value + 1, 0});  // more than was handed out
  source->acknowledge(first);
  wait_until([&] { return inspect_slot(sql, names.slot).confirmed == Lsn{first.value}; });
  EXPECT_EQ(source->lag().changes, 0u);
  EXPECT_GT(source->lag().bytes, 0u);
  source->acknowledge(position);
  wait_until([&] { return inspect_slot(sql, names.slot).confirmed == Lsn{position.value}; });
  EXPECT_EQ(source->lag().age, 0ms);
}

TEST_F(SourceTest, AKeepaliveBecomesAPositionBeforeItIsConfirmed) {
  source = open(50ms);
  source->start({});
  pull_all();
  source->acknowledge(position);
  wait_until([&] { return inspect_slot(sql, names.slot).confirmed == Lsn{position.value}; });
  // Log that concerns us in nothing.
  sql.exec("INSERT INTO public.stranger SELECT generate_series(1, 1000)");
  const Lsn end = flushed();
  const Position before = position;
  const Deadline deadline = Deadline::in(20s);
  while (Lsn{position.value} < end) {
    ASSERT_FALSE(deadline.passed());
    if (source->pull(chunk, Deadline::in(1s), stop.get_token()) == Pull::kIdle) continue;
    EXPECT_TRUE(chunk.empty());
    ASSERT_TRUE(chunk.boundary);
    position = *chunk.boundary;
  }
  EXPECT_EQ(inspect_slot(sql, names.slot).confirmed, Lsn{before.value});
  source->acknowledge(position);
  wait_until([&] { return inspect_slot(sql, names.slot).confirmed >= Lsn{position.value}; });
  start_again(position);
  EXPECT_THAT(pull_all(), IsEmpty());
}

TEST_F(SourceTest, AMissingSlotIsNeverStartedFromNow) {
  drop_slot(sql, names.slot);
  expect_refused({}, ErrorKind::kHistory, "the slot is gone");
}

TEST_F(SourceTest, AnotherHistoryIsRefused) {
  expect_refused({postgres_history_by_sql(sql) + 1, 1, 0}, ErrorKind::kHistory,
                 "not the PostgreSQL");
  expect_refused({postgres_history_by_sql(sql), UINT64_MAX, 0}, ErrorKind::kHistory, "set back");
}

TEST_F(SourceTest, ASlotThatConfirmedMoreThanIsHeldIsRefused) {
  source->start({});
  sql.exec("INSERT INTO public.note VALUES (1, 'a', 1)");
  pull_all();
  const Position held = position;
  sql.exec("INSERT INTO public.note VALUES (2, 'b', 2)");
  pull_all();
  source->acknowledge(position);
  wait_until([&] { return inspect_slot(sql, names.slot).confirmed == Lsn{position.value}; });
  expect_refused(held, ErrorKind::kHistory, "will not be sent again");
  expect_refused({}, ErrorKind::kHistory, "will not be sent again");
  start_again(position);
}

TEST_F(SourceTest, AFreshSlotMayBeYoungerThanThePositionOfAnEarlierReverse) {
  source->start({});
  pull_all();
  const Position earlier = position;
  source.reset();
  wait_until([&] { return !inspect_slot(sql, names.slot).active_pid; });
  remove_slot(sql, maps->bridge, "app", names.slot);
  sql.exec("INSERT INTO public.stranger VALUES (1)");
  make_slot();
  source = open();
  ASSERT_GT(inspect_slot(sql, names.slot).confirmed, Lsn{earlier.value});
  start_again(earlier);
  sql.exec("INSERT INTO public.note VALUES (1, 'a', 1)");
  EXPECT_THAT(pull_all(), ElementsAre("0 upsert 1 a 1"));
  // The same slot made by hand, without a record of its birth, proves nothing.
  source = open();
  sql.exec("DELETE FROM switchback.slot");
  wait_until([&] { return !inspect_slot(sql, names.slot).active_pid; });
  expect_refused(earlier, ErrorKind::kHistory, "will not be sent again");
}

TEST_F(SourceTest, MakingASlotReadyIsIdempotentAndMendsOneWithoutRecord) {
  const Lsn born = *slot_birth(sql, maps->bridge, "app", names.slot);
  EXPECT_EQ(inspect_slot(sql, names.slot).confirmed, born);
  make_slot();
  EXPECT_EQ(slot_birth(sql, maps->bridge, "app", names.slot), born);
  sql.exec("DELETE FROM switchback.slot");
  // While somebody may write, a new slot would pass over what he wrote.
  EXPECT_THROW(make_slot(Writers::kPossible), Error);
  EXPECT_EQ(inspect_slot(sql, names.slot).confirmed, born);
  make_slot();
  make_slot(Writers::kPossible);
  EXPECT_GT(slot_birth(sql, maps->bridge, "app", names.slot), born);
}

TEST_F(SourceTest, ASecondReaderIsToldToWait) {
  source->start({});
  const auto second = open();
  try {
    second->start({});
    ADD_FAILURE() << "two sessions stream from one slot";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBusy) << error.what();
    EXPECT_EQ(error.retry(), Retry::kLater);
  }
}

TEST_F(SourceTest, ALostConnectionReachesThePullingThread) {
  source->start({});
  pull_all();
  wait_until([&] { return inspect_slot(sql, names.slot).active_pid.has_value(); });
  sql.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1",
           {names.slot});
  try {
    while (source->pull(chunk, Deadline::in(20s), stop.get_token()) == Pull::kChunk) {
    }
    ADD_FAILURE() << "no error came";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnreachable) << error.what();
  }
  start_again(position);
  sql.exec("INSERT INTO public.note VALUES (1, 'a', 1)");
  EXPECT_THAT(pull_all(), ElementsAre("0 upsert 1 a 1"));
}

// A server that shuts down waits until every reader has confirmed all there is. It must not wait
// for the next regular position, and after a restart nothing is missing.
TEST_F(SourceTest, AServerThatShutsDownIsAnsweredAtOnce) {
  source->start({});
  sql.exec("INSERT INTO public.note VALUES (1, 'a', 1)");
  pull_all();
  source->acknowledge(position);
  sql.exec("INSERT INTO public.stranger SELECT generate_series(1, 1000)");
  const auto begun = Deadline::Clock::now();
  std::jthread shutdown([] { PostgresCluster::shared().stop(test::StopMode::kFast); });
  try {
    for (;;) {
      if (source->pull(chunk, Deadline::in(20s), stop.get_token()) == Pull::kIdle) continue;
      position = chunk.boundary.value_or(position);
      source->acknowledge(position);
    }
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnreachable) << error.what();
  }
  shutdown.join();
  EXPECT_LT(Deadline::Clock::now() - begun, 8s);
  PostgresCluster::shared().start();
  sql = Connection::open(conninfo, "test");
  start_again(position);
  sql.exec("INSERT INTO public.note VALUES (2, 'b', 2)");
  EXPECT_THAT(pull_all(), ElementsAre("0 upsert 2 b 2"));
}

TEST_F(SourceTest, WakeAndStopEndAWaitingPull) {
  source->start({});
  pull_all();
  source->wake();
  EXPECT_EQ(source->pull(chunk, Deadline::in(60s), stop.get_token()), Pull::kIdle);
  stop.request_stop();
  EXPECT_EQ(source->pull(chunk, Deadline::in(60s), stop.get_token()), Pull::kIdle);
}

TEST_F(SourceTest, ADroppedColumnStopsWithItsAlter) {
  source->start({});
  pull_all();
  sql.exec("ALTER TABLE public.note DROP COLUMN n");
  sql.exec("INSERT INTO public.note VALUES (1, 'a')");
  try {
    source->pull(chunk, Deadline::in(20s), stop.get_token());
    ADD_FAILURE() << "a changed table passed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), HasSubstr("ALTER TABLE \"public\".\"note\" DROP COLUMN \"n\""));
  }
}

}  // namespace
}  // namespace switchback
