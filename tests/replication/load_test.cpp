// The initial load on a real server, from a reader made of rows in memory.
#include "replication/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "replication/install.h"
#include "tests/replication/load_rows.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;

class LoadTest : public ::testing::Test {
 protected:
  LoadTest() : conninfo_(test::fresh_database()), sql_(Connection::open(conninfo_, "test")) {
    sql_.exec(kTestPostgresSchema);
    sql_.exec(
        "CREATE INDEX parent_name ON public.parent (lower(name));"
        "CREATE INDEX parent_doc ON public.parent USING gin (doc);"
        "COMMENT ON INDEX public.parent_doc IS 'for search';"
        "ALTER TABLE public.parent ADD CONSTRAINT name_known CHECK (name <> 'forbidden');"
        "CREATE TABLE public.queue(id int PRIMARY KEY, parent int REFERENCES public.parent)");
    mapping_ = std::make_shared<Mapping>(*test_mapping());
    TableMap queue;
    queue.id = TableId{2};
    queue.schema = "public";
    queue.table = "queue";
    queue.only = Only::kPostgres;
    mapping_->tables.push_back(queue);
    install_postgres(sql_, *mapping_, "app");
    for (int i = 1; i <= 3000; ++i) {
      rows_[kParent].push_back({i, "name " + std::to_string(i)});
      rows_[kChild].push_back({i, "12.50", i});
    }
  }

  InitialLoad load(bool drop = true) {
    return InitialLoad(
        {.conninfo = conninfo_,
         .store = "app",
         .mapping = mapping_,
         .drop_constraints = drop,
         .make_reader = [this] { return std::make_unique<MemoryReader>(rows_, 500, estimate_); },
         .progress = {}});
  }
  static void run_all(InitialLoad& load) {
    if (load.step() == LoadStep::kCopy) load.copy({});
    if (load.step() == LoadStep::kKeys) load.build_keys();
    if (load.step() == LoadStep::kCatchUp) load.caught_up();
    if (load.step() == LoadStep::kRest) load.build_rest({});
    EXPECT_EQ(load.step(), LoadStep::kDone);
  }
  /// The log names these parents.
  static void build_keys_after(InitialLoad& load, std::initializer_list<int> ids) {
    Chunk keys;
    for (const int id : ids) {
      keys.add(Cell::integer(id));
      keys.end_delete(kParent);
    }
    load.remove_keys(keys);
    load.build_keys();
  }
  std::string one(const std::string& query) {
    const Result result = sql_.exec(query);
    return result.rows() == 0 ? "" : result.is_null(0, 0) ? "NULL" : result.string(0, 0);
  }
  std::string catalog() {
    return one(R"(SELECT string_agg(line, E'\n' ORDER BY line) FROM (
  SELECT 'con ' || conrelid::regclass || conname || pg_get_constraintdef(oid) || convalidated AS line
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT 'rel ' || oid::regclass || relreplident::text FROM pg_class
   WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'idx ' || pg_get_indexdef(indexrelid) || coalesce(obj_description(indexrelid), '')
    FROM pg_index JOIN pg_class ON oid = indrelid
   WHERE relnamespace = 'public'::regnamespace) x)");
  }

  const std::string conninfo_;
  Connection sql_;
  std::shared_ptr<Mapping> mapping_;
  Rows rows_;
  std::uint64_t estimate_ = 0;  // added to each table's size
};

TEST_F(LoadTest, ALargeTableIsCopiedInParts) {
  estimate_ = 1'000'000;
  InitialLoad one_load = load();
  run_all(one_load);
  EXPECT_EQ(one("SELECT string_agg(table_name || part || ' ' || rows || done, ' ' ORDER BY "
                "table_name, part) FROM switchback.load"),
            "public.child0 1000true public.child1 2000true "
            "public.parent0 1000true public.parent1 2000true");
  EXPECT_EQ(one("SELECT count(*) || ' ' || sum(id) FROM public.parent"), "3000 4501500");
}

TEST_F(LoadTest, LoadsAndMakesEverythingAgain) {
  const std::string before = catalog();
  InitialLoad one_load = load();
  one_load.copy({});
  // The one that gathers entries in a list stays.
  EXPECT_EQ(one("SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE indrelid = "
                "'public.parent'::regclass"),
            "parent_doc");
  run_all(one_load);
  EXPECT_EQ(catalog(), before);
  EXPECT_EQ(one("SELECT gin_clean_pending_list('public.parent_doc')"), "0") << "pages not merged";
  EXPECT_EQ(one("SELECT count(*) || ' ' || sum(id) || ' ' || min(name) FROM public.parent"),
            "3000 4501500 name 1");
  EXPECT_EQ(one("SELECT count(*) || ' ' || sum(amount) FROM public.child"), "3000 37500.00");
  EXPECT_EQ(one("SELECT count(*) FROM switchback.dropped_object"), "0");
  EXPECT_EQ(one("SELECT count(*) FROM switchback.quarantine"), "0");
}

TEST_F(LoadTest, RowsThatDoNotFitGoToQuarantineAlone) {
  rows_[kParent][1000].text = "bad json";
  rows_[kParent][1001].text = "bad json";
  rows_[kParent][2999].text = "bad json";
  rows_[kParent][10].misfit = true;
  rows_[kParent][20].id = 3'000'000'000;
  rows_[kParent][30].text = "forbidden";
  for (auto& child : rows_[kChild]) child.parent = child.id == 7 ? 999'999 : 0;
  InitialLoad one_load = load();
  const std::string before = catalog();
  run_all(one_load);
  EXPECT_EQ(catalog(), before);
  EXPECT_EQ(one("SELECT string_agg(table_name || key || sqlstate, ' ' ORDER BY table_name, key) "
                "FROM switchback.quarantine"),
            "public.child[\"7\"]23503 public.parent[\"1001\"]22P02 public.parent[\"1002\"]22P02 "
            "public.parent[\"11\"] public.parent[\"3000\"]22P02 public.parent[\"3000000000\"] "
            "public.parent[\"31\"]23514");
  EXPECT_EQ(one("SELECT count(*) FROM public.parent"), "2994");
  EXPECT_EQ(one("SELECT count(*) FROM public.child"), "2999");
}

TEST_F(LoadTest, OrphansFollowTheTablesPolicy) {
  rows_[kChild][6].parent = 999'999;
  mapping_->tables[index(kChild)].orphans = Orphans::kNull;
  InitialLoad one_load = load();
  run_all(one_load);
  EXPECT_EQ(one("SELECT parent_id FROM public.child WHERE id = 7"), "NULL");
  EXPECT_EQ(one("SELECT count(*) FROM switchback.quarantine"), "0");
}

TEST_F(LoadTest, OrphansLeftHaveNoForeignKeyUntilTheBridgeIsRemoved) {
  rows_[kChild][6].parent = 999'999;
  mapping_->tables[index(kChild)].orphans = Orphans::kLeave;
  InitialLoad one_load = load();
  run_all(one_load);
  EXPECT_EQ(one("SELECT count(*) FROM public.child"), "3000");
  const char* key = "SELECT convalidated FROM pg_constraint WHERE conname = 'child_parent_fk'";
  EXPECT_EQ(one(key), "");
  remove_postgres(sql_, *mapping_, "app");
  EXPECT_EQ(one(key), "f");
}

TEST_F(LoadTest, KeysFromTheLogAreRemovedBeforeTheyAreUnique) {
  rows_[kParent].push_back({17, "read a second time"});
  InitialLoad one_load = load();
  one_load.copy({});
  build_keys_after(one_load, {17, 18, 4000});
  EXPECT_EQ(one("SELECT count(*) FROM public.parent"), "2998");
  EXPECT_EQ(one("SELECT count(*) FROM switchback.quarantine"), "0");
  // Once keys stand, a second call removes nothing.
  build_keys_after(one_load, {19});
  EXPECT_EQ(one("SELECT count(*) FROM public.parent"), "2998");
}

// A ring drops its oldest entries while it is copied: the pump will find them gone, and what is not
// in PostgreSQL by then is nowhere.
TEST_F(LoadTest, OfRowsThatAreKeptTheLastCopyStays) {
  mapping_->tables[index(kParent)].keep_deleted = true;
  rows_[kParent].push_back({17, "read a second time"});
  rows_[kParent].push_back({20, "read a second time, and not in the log"});
  InitialLoad one_load = load();
  one_load.copy({});
  build_keys_after(one_load, {17, 18, 4000});
  EXPECT_EQ(one("SELECT count(*) FROM public.parent"), "3000");
  EXPECT_EQ(one("SELECT name FROM public.parent WHERE id = 17"), "read a second time");
  EXPECT_EQ(one("SELECT name FROM public.parent WHERE id = 20"),
            "read a second time, and not in the log");
}

TEST_F(LoadTest, TablesWithRowsKeepTheirKeysAndTakeUpserts) {
  sql_.exec(
      "BEGIN; SET LOCAL switchback.applying = 'on';"
      "INSERT INTO public.parent VALUES (5, 'stale'); COMMIT");
  rows_[kParent].push_back({17, "read last"});
  rows_[kChild][6].parent = 999'999;
  InitialLoad one_load = load(false);
  const std::string before = catalog();
  one_load.copy({});
  EXPECT_EQ(catalog(), before);
  run_all(one_load);
  EXPECT_EQ(one("SELECT name FROM public.parent WHERE id = 5"), "name 5");
  EXPECT_EQ(one("SELECT name FROM public.parent WHERE id = 17"), "read last");
  EXPECT_EQ(one("SELECT count(*) FROM public.parent"), "3000");
  EXPECT_EQ(one("SELECT key FROM switchback.quarantine"), "[\"7\"]");
}

TEST_F(LoadTest, AnOrphanUnderADeferredKeyThatStandsIsTurnedAwayAlone) {
  sql_.exec(
      "ALTER TABLE public.child ALTER CONSTRAINT child_parent_fk DEFERRABLE INITIALLY DEFERRED");
  rows_[kChild][6].parent = 999'999;
  InitialLoad one_load = load(false);
  run_all(one_load);
  EXPECT_EQ(one("SELECT string_agg(key || sqlstate, ' ') FROM switchback.quarantine"),
            "[\"7\"]23503");
  EXPECT_EQ(one("SELECT count(*) FROM public.child"), "2999");
}

TEST_F(LoadTest, APartitionedTablesOrphansAreFoundWhenItsForeignKeyIsMadeAgain) {
  sql_.exec(
      "DROP TABLE public.child;"
      "CREATE TABLE public.child (id bigint PRIMARY KEY, parent_id integer, amount numeric,"
      " CONSTRAINT child_parent_fk FOREIGN KEY (parent_id) REFERENCES public.parent DEFERRABLE "
      "INITIALLY DEFERRED)"
      " PARTITION BY HASH (id);"
      "CREATE TABLE public.child0 PARTITION OF public.child FOR VALUES WITH (MODULUS 2, REMAINDER "
      "0);"
      "CREATE TABLE public.child1 PARTITION OF public.child FOR VALUES WITH (MODULUS 2, REMAINDER "
      "1)");
  const std::string before = catalog();
  rows_[kChild][6].parent = 999'999;
  rows_[kChild][7].parent = 999'999;
  for (const Orphans policy : {Orphans::kQuarantine, Orphans::kNull}) {
    mapping_->tables[index(kChild)].orphans = policy;
    InitialLoad one_load = load();
    one_load.copy({});
    EXPECT_EQ(one("SELECT count(*) FROM public.child"), "3000");
    run_all(one_load);
    EXPECT_EQ(catalog(), before);
    const bool null = policy == Orphans::kNull;
    EXPECT_EQ(one("SELECT count(*) FROM switchback.quarantine WHERE sqlstate = '23503'"),
              null ? "0" : "2");
    EXPECT_EQ(one("SELECT count(*) || ' ' || count(parent_id) FROM public.child"),
              null ? "3000 2998" : "2998 2998");
    sql_.exec(
        "BEGIN; SET LOCAL switchback.applying = 'on'; TRUNCATE public.parent, public.child, "
        "public.queue;"
        "DELETE FROM switchback.load; DELETE FROM switchback.load_step;"
        "DELETE FROM switchback.quarantine; COMMIT");
  }
}

#ifdef SWITCHBACK_TEST_BUILD
TEST_F(LoadTest, DiesAnywhereAndResumes) {
  rows_ = many_rows();
  mapping_ = std::make_shared<Mapping>(*test_mapping());
  sql_.exec("DROP TABLE public.queue");
  const std::string before = catalog();
  for (const char* point : {"load.drop.commit.before=crash", "load.drop.commit.after=crash",
                            "load.copy.commit.before=crash@2", "load.copy.commit.after=crash@2",
                            "load.step.commit.before=crash", "load.step.commit.after=crash",
                            "load.key.commit.before=crash", "load.key.commit.after=crash",
                            "load.rest.commit.before=crash@2", "load.rest.commit.after=crash"}) {
    const std::string command = std::string("SWITCHBACK_FAILPOINT=") + point + " exec " LOAD_CHILD +
                                " '" + conninfo_ + "' >/dev/null 2>&1";
    const int status = std::system(command.c_str());
    EXPECT_TRUE(WIFSIGNALED(status)) << point << " was not reached";
  }
  InitialLoad last = load();
  run_all(last);
  EXPECT_EQ(catalog(), before);
  EXPECT_EQ(one("SELECT count(*) || ' ' || count(DISTINCT id) FROM public.parent"), "9000 9000");
  EXPECT_EQ(one("SELECT count(*) || ' ' || count(DISTINCT id) FROM public.child"), "9000 9000");
  EXPECT_EQ(one("SELECT count(*) FROM switchback.quarantine"), "0");
}
#endif

TEST_F(LoadTest, AStoppedLoadGoesOnLater) {
  std::stop_source stop;
  stop.request_stop();
  InitialLoad first = load();
  first.copy(stop.get_token());
  EXPECT_EQ(first.step(), LoadStep::kCopy);
  run_all(first);
  EXPECT_EQ(one("SELECT count(*) FROM public.parent"), "3000");
}

TEST_F(LoadTest, RemovalInTheMiddleMakesEverythingAgain) {
  const std::string before = catalog();
  InitialLoad half = load();
  half.copy({});
  remove_postgres(sql_, *mapping_, "app");
  EXPECT_EQ(catalog(), before);
}

// A partitioned table takes no NOT VALID key (before PostgreSQL 18), and its orphans no other.
TEST_F(LoadTest, RemovalTellsWhichKeyRowsKeepItFromMakingAgain) {
  sql_.exec(
      "CREATE TABLE public.cut (id int, up bigint) PARTITION BY HASH (id);"
      "CREATE TABLE public.cut_0 PARTITION OF public.cut FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
      "INSERT INTO public.cut VALUES (1, -99)");
  sql_.exec(
      "INSERT INTO switchback.dropped_object (bridge, store, table_name, position, sort, name, "
      "definition, weight, left_out) VALUES ($1, 'app', 'public.cut', 1, 'f', 'cut_up', "
      "'ALTER TABLE public.cut ADD CONSTRAINT cut_up FOREIGN KEY (up) REFERENCES public.parent', "
      "0, true)",
      {mapping_->bridge});
  testing::internal::CaptureStdout();
  remove_postgres(sql_, *mapping_, "app");
  const std::string told = testing::internal::GetCapturedStdout();
  if (one("SELECT current_setting('server_version_num')::int >= 180000") == "t") {
    EXPECT_EQ(one("SELECT convalidated FROM pg_constraint WHERE conname = 'cut_up'"), "f");
  } else {
    EXPECT_THAT(told, HasSubstr("cut_up is not made again"));
  }
  EXPECT_EQ(one("SELECT count(*) FROM public.cut"), "1");
}

}  // namespace
}  // namespace switchback
