// The fence, the gate, installing and removing, on a real server.
#include "replication/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "replication/install.h"
#include "replication/meta.h"
#include "replication/schema_file.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kMore = R"(
CREATE TABLE public.events(id int NOT NULL, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.flag := true; RETURN NEW; END';
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON public.parent FOR EACH ROW EXECUTE FUNCTION public.touch();
ALTER TABLE public.parent ENABLE ALWAYS TRIGGER touch;
CREATE ROLE app LOGIN;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
)";

std::shared_ptr<const Mapping> mapping_with_events() {
  auto mapping = std::make_shared<Mapping>(*test_mapping());
  TableMap events;
  events.id = TableId{2};
  events.store = "app";
  events.old_table = events.table = "events";
  events.schema = "public";
  events.key_width = 2;
  for (const char* name : {"id", "at"}) {
    ColumnMap& column = events.columns.emplace_back();
    column.old_name = column.name = name;
    column.type = std::string(name) == "id" ? PgType::kInt4 : PgType::kDate;
    column.type_name = std::string(name) == "id" ? "integer" : "date";
  }
  mapping->tables.push_back(events);
  return mapping;
}

class GateTest : public ::testing::Test {
 protected:
  GateTest()
      : conninfo_(test::fresh_database()),
        mapping_(mapping_with_events()),
        sql_(Connection::open(conninfo_, "switchback test")) {
    sql_.exec(kTestPostgresSchema);
    sql_.exec("DROP ROLE IF EXISTS app");
    sql_.exec(kMore);
  }
  ~GateTest() override {
    // A session of its own: a test that failed may leave sql_ in any state.
    Connection::open(conninfo_, "cleanup").exec("DROP OWNED BY app; DROP ROLE app");
  }

  std::string app_conninfo() const { return conninfo_ + " user=app"; }
  Connection app() const { return Connection::open(app_conninfo(), "application"); }
  PostgresGate gate() const { return PostgresGate(conninfo_, mapping_, "app", "all"); }
  static Deadline soon(milliseconds span = seconds(5)) { return Deadline::in(span); }

  std::string refusal(Connection& as, const std::string& statement) const {
    try {
      as.exec(statement);
      return "";
    } catch (const Error& error) {
      if (as.in_transaction()) as.exec("ROLLBACK");
      return error.what();
    }
  }

  std::string catalog() {
    return sql_
        .exec(R"(SELECT string_agg(line, E'\n' ORDER BY line) FROM (
  SELECT 'rel ' || oid::regclass || relkind::text || relreplident::text AS line FROM pg_class
   WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'trg ' || tgrelid::regclass || tgname || tgenabled::text FROM pg_trigger
  UNION ALL SELECT 'con ' || conrelid::regclass || conname || pg_get_constraintdef(oid) || convalidated
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT 'idx ' || pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indrelid
   WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'nsp ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
  UNION ALL SELECT 'fun ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT 'pub ' || pubname FROM pg_publication
  UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots) x)")
        .string(0, 0);
  }

  const std::string conninfo_;
  const std::shared_ptr<const Mapping> mapping_;
  Connection sql_;
};

TEST_F(GateTest, TheFenceRefusesEveryKindOfWriteWithOneMessage) {
  install_postgres(sql_, *mapping_, "app");
  Connection client = app();
  for (const char* statement :
       {"INSERT INTO public.parent VALUES (1, 'a')", "UPDATE public.parent SET name = 'b'",
        "DELETE FROM public.parent", "COPY public.parent FROM STDIN",
        "INSERT INTO public.parent VALUES (1, 'a') ON CONFLICT DO NOTHING",
        "WITH x AS (INSERT INTO public.parent VALUES (1, 'a') RETURNING id) SELECT * FROM x",
        "INSERT INTO public.events VALUES (1, '2020-05-05')",
        "INSERT INTO public.events_1 VALUES (1, '2020-05-05')", "DELETE FROM public.events_1"}) {
    if (std::string_view(statement).starts_with("COPY")) {
      client.exec(statement);
      PQputCopyData(client.raw(), "1\ta\n", 4);
      PQputCopyEnd(client.raw(), nullptr);
      const Result end(PQgetResult(client.raw()));
      EXPECT_STREQ(PQresultErrorField(end.get(), PG_DIAG_SQLSTATE), "25006");
      while (PGresult* more = PQgetResult(client.raw())) PQclear(more);
      continue;
    }
    const std::string message = refusal(client, statement);
    EXPECT_THAT(message, HasSubstr("switchback: writes to public.")) << statement;
    EXPECT_THAT(message, HasSubstr("go to \"old\" (group all, epoch 1)")) << statement;
    EXPECT_THAT(message, HasSubstr("25006")) << statement;
  }
  for (const char* truncate : {"TRUNCATE public.events_2", "TRUNCATE public.events",
                               "TRUNCATE public.child", "TRUNCATE public.parent CASCADE"}) {
    EXPECT_THAT(refusal(sql_, truncate), HasSubstr("25006")) << truncate;
  }
}

TEST_F(GateTest, TheFenceHoldsForReplicaSessionsAndPassesTheBridgeAlone) {
  install_postgres(sql_, *mapping_, "app");
  sql_.exec("SET session_replication_role = replica");
  EXPECT_THAT(refusal(sql_, "INSERT INTO public.parent VALUES (1, 'a')"), HasSubstr("25006"));
  EXPECT_THAT(refusal(sql_, "TRUNCATE public.child"), HasSubstr("25006"));
  Connection client = app();
  EXPECT_THAT(refusal(client,
                      "BEGIN; SET LOCAL switchback.applying = 'on';"
                      "INSERT INTO public.parent VALUES (1, 'a')"),
              HasSubstr("25006"));
  sql_.exec(
      "BEGIN; SET LOCAL switchback.applying = 'on';"
      "INSERT INTO public.parent VALUES (1, 'a');"
      "INSERT INTO public.events VALUES (1, '2020-05-05'); COMMIT");
  // The application's own trigger is off while the gate is closed.
  EXPECT_TRUE(sql_.exec("SELECT flag FROM public.parent").is_null(0, 0));
  EXPECT_THAT(refusal(sql_, "INSERT INTO public.parent VALUES (2, 'a')"), HasSubstr("25006"));
}

TEST_F(GateTest, ABridgeRowCallsNoFunction) {
  install_postgres(sql_, *mapping_, "app");
  sql_.exec("BEGIN; SET LOCAL switchback.applying = 'on'; SET LOCAL track_functions = 'all'");
  const Result plan = sql_.exec(
      "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) INSERT INTO public.parent SELECT i, 'x' FROM "
      "generate_series(1, 1000) i");
  sql_.exec("ROLLBACK");
  std::string text;
  for (int i = 0; i < plan.rows(); ++i) text += plan.string(i, 0) + "\n";
  EXPECT_EQ(text.find("switchback_fence"), text.npos) << text;
}

TEST_F(GateTest, RemovingLeavesTheCatalogAsItWas) {
  const std::string before = catalog();
  EXPECT_FALSE(plan_postgres_install(sql_, *mapping_, "app").empty());
  EXPECT_EQ(catalog(), before);
  install_postgres(sql_, *mapping_, "app");
  EXPECT_THAT(plan_postgres_install(sql_, *mapping_, "app"), ::testing::IsEmpty());
  EXPECT_NE(catalog(), before);
  install_postgres(sql_, *mapping_, "app");
  remove_postgres(sql_, *mapping_, "app");
  EXPECT_EQ(catalog(), before);
  remove_postgres(sql_, *mapping_, "app");
  EXPECT_EQ(catalog(), before);
}

TEST_F(GateTest, RemovingLeavesAnotherBridge) {
  install_postgres(sql_, *mapping_, "app");
  sql_.exec(
      "INSERT INTO switchback.group_state (bridge, grp, gate, epoch, primary_side, phase) "
      "VALUES ('other', 'all', 'closed', 1, 'old', 'forward')");
  remove_postgres(sql_, *mapping_, "app");
  EXPECT_EQ(sql_.exec("SELECT bridge FROM switchback.group_state").string(0, 0), "other");
  EXPECT_EQ(sql_.exec("SELECT switchback.primary('all')").string(0, 0), "old");
}

TEST_F(GateTest, OpensAndClosesWithCountersAndTriggers) {
  install_postgres(sql_, *mapping_, "app");
  sql_.exec(
      "BEGIN; SET LOCAL switchback.applying = 'on';"
      "INSERT INTO public.child VALUES (41, NULL, 1); COMMIT");
  PostgresGate one = gate();
  EXPECT_EQ(one.inspect(soon()), (GateState{GateState::Door::kClosed, 1}));
  one.make_ready_to_open();
  one.make_ready_to_open();
  ASSERT_TRUE(one.prepare(2, {{{kChild, "id", 99}}}, soon()));
  EXPECT_THAT(refusal(sql_,
                      "BEGIN; SET LOCAL lock_timeout = '100ms';"
                      "INSERT INTO public.parent VALUES (1, 'a')"),
              HasSubstr("55P03"));
  one.open(2, {});
  one.open(2, {});
  EXPECT_EQ(one.inspect(soon()), (GateState{GateState::Door::kOpen, 2}));
  Connection client = app();
  client.exec("INSERT INTO public.child(parent_id) VALUES (NULL)");
  client.exec("INSERT INTO public.parent VALUES (1, 'a')");
  EXPECT_EQ(sql_.exec("SELECT max(id) FROM public.child").integer(0, 0), 100);
  EXPECT_TRUE(sql_.exec("SELECT flag FROM public.parent").boolean(0, 0));
  EXPECT_THAT(plan_postgres_install(sql_, *mapping_, "app"), ::testing::IsEmpty());

  ASSERT_TRUE(one.lock(soon()));
  EXPECT_GT(one.mark().value, 0U);
  ASSERT_EQ(one.counters().size(), 1U);
  EXPECT_EQ(one.counters()[0].value, 100);
  ASSERT_TRUE(one.close(3, soon()));
  ASSERT_TRUE(one.close(3, soon()));
  EXPECT_EQ(one.inspect(soon()), (GateState{GateState::Door::kClosed, 3}));
  EXPECT_THAT(refusal(client, "INSERT INTO public.parent VALUES (2, 'a')"), HasSubstr("epoch 3"));
  EXPECT_EQ(sql_.exec("SELECT tgenabled FROM pg_trigger WHERE tgname = 'touch'").string(0, 0), "D");
  one.settle_closed();
  one.settle_closed();
  EXPECT_EQ(sql_.exec("SELECT count(*) FROM pg_replication_slots WHERE database = "
                      "current_database()")
                .integer(0, 0),
            0);
}

TEST_F(GateTest, ALockWaitsForWritersAndLetsThemGoOnWhenUndone) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  one.open(2, {});
  Connection writer = app();
  writer.exec("BEGIN; INSERT INTO public.parent VALUES (1, 'a')");
  EXPECT_FALSE(one.lock(soon(milliseconds(300))));
  writer.exec("INSERT INTO public.parent VALUES (2, 'b'); COMMIT");
  ASSERT_TRUE(one.lock(soon()));
  auto waiting = std::async(std::launch::async, [&] {
    Connection late = app();
    late.exec("INSERT INTO public.parent VALUES (3, 'c')");
  });
  EXPECT_EQ(waiting.wait_for(milliseconds(200)), std::future_status::timeout);
  EXPECT_EQ(app().exec("SELECT count(*) FROM public.parent").integer(0, 0), 2);
  one.unlock();
  waiting.get();
  EXPECT_EQ(one.inspect(soon()), (GateState{GateState::Door::kOpen, 2}));
}

TEST_F(GateTest, TheServerEndsALockThatNobodyEnds) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  one.open(2, {});
  ASSERT_TRUE(one.lock(soon(milliseconds(300))));
  Connection writer = app();
  writer.exec("SET statement_timeout = '5s'; INSERT INTO public.parent VALUES (1, 'a')");
  // No COMMIT was sent, so whoever flips may take everything back, and try again.
  EXPECT_FALSE(one.close(3, soon()));
  EXPECT_EQ(one.inspect(soon()), (GateState{GateState::Door::kOpen, 2}));
  ASSERT_TRUE(one.lock(soon()));
  EXPECT_TRUE(one.close(3, soon()));
}

TEST_F(GateTest, ASnapshotFromBeforeTheFlipCannotWriteAfterIt) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  one.open(2, {});
  Connection old_snapshot = app();
  old_snapshot.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
  ASSERT_TRUE(one.lock(soon()));
  ASSERT_TRUE(one.close(3, soon()));
  const std::string message = refusal(old_snapshot, "INSERT INTO public.parent VALUES (1, 'a')");
  EXPECT_THAT(message, HasSubstr("25006"));
  EXPECT_THAT(message, HasSubstr("go to \"old\" (group all, epoch 3)"));
}

TEST_F(GateTest, AWriterThatWaitedIsRefusedWhenTheFenceCameDown) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  one.open(2, {});
  ASSERT_TRUE(one.lock(soon()));
  auto waiting = std::async(std::launch::async, [&] {
    Connection late = app();
    return refusal(late, "INSERT INTO public.parent VALUES (3, 'c')");
  });
  EXPECT_EQ(waiting.wait_for(milliseconds(200)), std::future_status::timeout);
  ASSERT_TRUE(one.close(3, soon()));
  EXPECT_THAT(waiting.get(), HasSubstr("epoch 3"));
}

TEST_F(GateTest, InspectingWaitsForACommitInDoubt) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate in_doubt = gate();
  ASSERT_TRUE(in_doubt.prepare(2, {}, soon()));
  PostgresGate other = gate();
  EXPECT_THROW(other.inspect(soon(milliseconds(200))), Error);
  auto waiting = std::async(std::launch::async, [&] { return other.inspect(soon()); });
  EXPECT_EQ(waiting.wait_for(milliseconds(200)), std::future_status::timeout);
  in_doubt.open(2, {});
  EXPECT_EQ(waiting.get(), (GateState{GateState::Door::kOpen, 2}));
}

TEST_F(GateTest, ATornFenceIsSeenAndRepaired) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  sql_.exec("ALTER TABLE public.child DISABLE TRIGGER USER");
  EXPECT_EQ(one.inspect(soon()).door, GateState::Door::kTorn);
  ASSERT_EQ(one.obstacles().size(), 1U);
  EXPECT_THAT(one.obstacles()[0].what, HasSubstr("child"));
  sql_.exec(
      "CREATE TABLE public.events_3 PARTITION OF public.events FOR VALUES FROM ('2022-01-01') "
      "TO ('2023-01-01')");
  install_postgres(sql_, *mapping_, "app");
  EXPECT_EQ(one.inspect(soon()).door, GateState::Door::kClosed);
  EXPECT_TRUE(one.obstacles().empty());
  EXPECT_THAT(refusal(sql_, "INSERT INTO public.events VALUES (1, '2022-05-05')"),
              HasSubstr("25006"));
}

TEST_F(GateTest, LocksWhileVacuumsRun) {
  install_postgres(sql_, *mapping_, "app");
  PostgresGate one = gate();
  one.open(2, {});
  // Stands for a VACUUM that does not yield: the same lock mode.
  Connection vacuum = Connection::open(conninfo_, "vacuum");
  vacuum.exec("BEGIN; LOCK TABLE public.parent IN SHARE UPDATE EXCLUSIVE MODE");
  Connection writer = app();
  writer.exec("SET statement_timeout = '2s'");
  auto locking = std::async(std::launch::async, [&] { return one.lock(soon(milliseconds(700))); });
  // The weak lock that waits behind it holds no writer off.
  while (locking.wait_for(milliseconds(0)) != std::future_status::ready) {
    writer.exec(
        "INSERT INTO public.parent VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET name = 'b'");
  }
  EXPECT_FALSE(locking.get());
  vacuum.exec("ROLLBACK");
  EXPECT_TRUE(one.lock(soon()));
}

TEST_F(GateTest, ASchemaFileAltersNothingThatStood) {
  const std::string file =
      "ALTER TABLE parent ADD COLUMN more int; CREATE INDEX ON parent (name);"
      "CREATE INDEX known ON public.parent (name); CREATE INDEX off ON parent (name);"
      "CREATE TABLE fresh(id int); ALTER TABLE ONLY fresh ADD PRIMARY KEY (id);"
      "CREATE INDEX ON fresh (id);";
  install_postgres(sql_, *mapping_, "app");
  sql_.exec(
      "INSERT INTO switchback.dropped_object VALUES ('test', 'app', 'public.parent', 1, 'i', "
      "'off', '', NULL, NULL, 1)");
  EXPECT_THAT(apply_schema(sql_, file, "schema.sql"),
              ::testing::ElementsAre(
                  "CREATE INDEX known ON public.parent (name)", "CREATE TABLE fresh(id int)",
                  "ALTER TABLE ONLY fresh ADD PRIMARY KEY (id)", "CREATE INDEX ON fresh (id)"));
  EXPECT_THAT(apply_schema(sql_, file, "schema.sql"), ::testing::IsEmpty());
}

TEST_F(GateTest, ASchemaFileRunsWhatIsMissing) {
  const std::string file =
      "CREATE TABLE public.parent(id int);\n\nCREATE TABLE later(id int PRIMARY KEY);\n"
      "CREATE INDEX later_i ON later (id);";
  sql_.exec("BEGIN");
  EXPECT_EQ(apply_schema(sql_, file, "schema.sql").size(), 2U);
  sql_.exec("ROLLBACK");
  EXPECT_TRUE(sql_.exec("SELECT to_regclass('public.later')").is_null(0, 0));
  EXPECT_EQ(apply_schema(sql_, file, "schema.sql").size(), 2U);
  EXPECT_EQ(apply_schema(sql_, file, "schema.sql").size(), 0U);
  EXPECT_FALSE(sql_.exec("SELECT to_regclass('public.later_i')").is_null(0, 0));
  try {
    apply_schema(sql_, file + "\nCREATE TABLE bad(id nonsense);", "schema.sql");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("schema.sql:5"));
  }
}

}  // namespace
}  // namespace switchback
