#include "tests/integration/reverse_line.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "replication/postgres_endpoint.h"
#include "state/base/error.h"
#include "watchers/sqlite/sqlite_endpoint.h"

namespace switchback::test {
namespace {

constexpr const char* kPostgresSchema = R"(
CREATE TABLE public.item(id bigint PRIMARY KEY, name text, big text, n integer);
ALTER TABLE public.item ALTER big SET STORAGE EXTERNAL;
CREATE TABLE public.part(id bigserial PRIMARY KEY,
  item bigint REFERENCES public.item ON DELETE CASCADE ON UPDATE CASCADE, note text);
CREATE TABLE public.place(id bigint PRIMARY KEY, spot integer UNIQUE DEFERRABLE INITIALLY DEFERRED,
  label text UNIQUE);
CREATE TABLE public.node(id bigint PRIMARY KEY,
  up bigint REFERENCES public.node DEFERRABLE INITIALLY DEFERRED);
)";

constexpr const char* kSqliteSchema = R"(
PRAGMA journal_mode = WAL;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, big TEXT, n INTEGER, own TEXT DEFAULT 'o');
CREATE TABLE part(id INTEGER PRIMARY KEY AUTOINCREMENT,
  item INTEGER REFERENCES item ON DELETE CASCADE ON UPDATE CASCADE, note TEXT);
CREATE TABLE place(id INTEGER PRIMARY KEY, spot INTEGER UNIQUE, label TEXT UNIQUE);
CREATE TABLE node(id INTEGER PRIMARY KEY, up INTEGER REFERENCES node);
)";

// Each table's rows as one text that both databases spell alike.
constexpr const char* kRows[][2] = {
    {"item",
     "id || ',' || coalesce(name, '-') || ',' || coalesce(length(big) || substr(big, 1, 9), '-') "
     "|| "
     "',' || coalesce('' || n, '-')"},
    {"part", "id || ',' || coalesce('' || item, '-') || ',' || coalesce(note, '-')"},
    {"place", "id || ',' || coalesce('' || spot, '-') || ',' || coalesce(label, '-')"},
    {"node", "id || ',' || coalesce('' || up, '-')"},
};

TableMap table(std::uint16_t id, const char* name,
               std::vector<std::pair<const char*, PgType>> columns) {
  TableMap map;
  map.id = TableId{id};
  map.store = "app";
  map.old_table = map.table = name;
  map.schema = "public";
  map.key_width = 1;
  map.rank = id;
  for (const auto& [column, type] : columns) {
    ColumnMap& made = map.columns.emplace_back();
    made.old_name = made.name = column;
    made.type = type;
    made.type_name = type == PgType::kText ? "text" : type == PgType::kInt8 ? "bigint" : "integer";
  }
  return map;
}

std::shared_ptr<const Mapping> mapping() {
  auto made = std::make_shared<Mapping>();
  made->bridge = "reverse";
  made->tables = {
      table(0, "item",
            {{"id", PgType::kInt8},
             {"name", PgType::kText},
             {"big", PgType::kText},
             {"n", PgType::kInt4}}),
      table(1, "part", {{"id", PgType::kInt8}, {"item", PgType::kInt8}, {"note", PgType::kText}}),
      table(2, "place", {{"id", PgType::kInt8}, {"spot", PgType::kInt4}, {"label", PgType::kText}}),
      table(3, "node", {{"id", PgType::kInt8}, {"up", PgType::kInt8}})};
  return made;
}

}  // namespace

PostgresCluster& ReverseLine::cluster() {
  static PostgresCluster one(
      {.settings = {"max_prepared_transactions = 10", "wal_writer_delay = 10s"}});
  return one;
}

ReverseLine::ReverseLine() : conninfo_(cluster().fresh_database()), mapping_(mapping()) {
  session().exec(kPostgresSchema);
  {
    SQLite::Database database(file().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec(kSqliteSchema);
  }
  postgres_ =
      open_postgres({.conninfo = conninfo_, .store = "app", .drop_constraints = true}, mapping_);
  old_side_ = open_sqlite({.path = file(), .store = "app", .spool_folder = folder_}, mapping_);
  postgres_->install();
  old_side_->install();
  gate_ = postgres_->make_gate("all");
  gate_->make_ready_to_open();
  gate_->open(2, {});
  application_ = std::make_unique<Connection>(session());
  start_pump();
}

ReverseLine::~ReverseLine() {
  pump_.reset();
  application_.reset();
  gate_.reset();
  try {
    postgres_->remove();
  } catch (const Error& error) {
    ADD_FAILURE() << error.what();
  }
}

void ReverseLine::start_pump() {
  pump_ = std::make_unique<Pump>("reverse", [this] {
    return Pump::Parts{postgres_->make_source(), old_side_->make_sink(),
                       [this] { return postgres_->make_reader(); }};
  });
  pump_->start();
}

void ReverseLine::write_sqlite(const std::string& statements) const {
  SQLite::Database database(file().string(), SQLite::OPEN_READWRITE, 10'000);
  database.exec("PRAGMA foreign_keys = OFF");
  database.exec(statements);
}

std::string ReverseLine::sqlite(const std::string& query) const {
  SQLite::Database database(file().string(), SQLite::OPEN_READONLY, 10'000);
  SQLite::Statement statement(database, query);
  return statement.executeStep() ? statement.getColumn(0).getString() : "";
}

std::string ReverseLine::postgres(const std::string& query) const {
  return cluster().sql(conninfo_, query);
}

void ReverseLine::drain(std::chrono::seconds patience) {
  const Deadline deadline = Deadline::in(patience);
  ASSERT_TRUE(gate_->lock(deadline));
  const Position mark = gate_->mark();
  const bool done = pump_->wait_applied(mark, deadline);
  gate_->unlock();
  const PumpProgress progress = pump_->progress();
  ASSERT_TRUE(done) << (progress.error ? progress.error->what() : "late");
}

void ReverseLine::expect_same(std::chrono::seconds patience) {
  drain(patience);
  for (const auto& [name, row] : kRows) {
    const std::string there = postgres(std::string("SELECT string_agg(") + row +
                                       ", ' ' ORDER BY id) FROM public." + name);
    const std::string here = sqlite(std::string("SELECT group_concat(r, ' ') FROM (SELECT ") + row +
                                    " AS r FROM " + name + " ORDER BY id)");
    EXPECT_EQ(here, there == "NULL" ? "" : there) << name;
  }
  EXPECT_EQ(pump_->progress().quarantined, 0u)
      << sqlite("SELECT group_concat(tbl || key || reason) FROM _switchback_quarantine");
}

}  // namespace switchback::test
