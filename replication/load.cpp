#include "replication/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "replication/copy_writer.h"
#include "replication/fence.h"
#include "replication/load_repair.h"
#include "replication/meta.h"
#include "replication/table_load.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"
#include "state/model/copy_change.h"

namespace switchback {
namespace {

constexpr int kWorkers = 2;
// A large table is cut into more parts than there are streams: a stream that has less work to do
// (merging an index falls to one of them) takes another part instead of standing idle.
constexpr unsigned kParts = 16;
constexpr std::chrono::milliseconds kReportEvery{200};
// An index kept through the copy (see finishing_touches) gathers new entries in a list and merges
// them now and then. Longer lists merge no faster and leave the index half as large again. No
// stretch waits for the disk: rows and the place they end at are committed together, so a crash of
// the server takes both or neither, and building the keys waits for all of it.
constexpr const char* kCopySession =
    "SET gin_pending_list_limit = '4MB'; SET work_mem = '32MB'; SET synchronous_commit = off";

std::string_view name_of(LoadStep step) {
  switch (step) {
    case LoadStep::kCopy:
      return "copy";
    case LoadStep::kKeys:
      return "keys";
    case LoadStep::kCatchUp:
      return "catch-up";
    case LoadStep::kRest:
      return "rest";
    case LoadStep::kDone:
      return "done";
  }
  return "unknown";
}

bool has_primary_key(Connection& sql, const TableMap& map) {
  return sql.exec("SELECT 1 FROM pg_index WHERE indrelid = to_regclass($1) AND indisprimary",
                  {quoted_name(map)})
             .rows() > 0;
}

std::string keys_table(TableId table) {
  return fmt::format("switchback_keys_{}", index(table));
}

/// Runs `job(item, stop)` for every item on a few threads; the calling thread waits and calls
/// `tick`. The first error stops the others and is thrown.
template <class Item, class Job, class Tick>
void in_parallel(const std::vector<Item>& items, int workers, std::stop_token stop, Job job,
                 Tick tick) {
  std::mutex mutex;
  std::condition_variable ended;
  std::size_t next = 0;
  int running = workers;
  std::exception_ptr failure;
  std::stop_source all;
  const std::stop_callback forward(stop, [&] { all.request_stop(); });
  const auto work = [&] {
    try {
      auto session = job();
      for (;;) {
        std::unique_lock lock(mutex);
        if (next >= items.size() || all.stop_requested()) break;
        const Item& item = items[next++];
        lock.unlock();
        session(item, all.get_token());
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      all.request_stop();
    }
    const std::lock_guard lock(mutex);
    --running;
    ended.notify_all();
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < workers; ++i) threads.emplace_back(work);
    std::unique_lock lock(mutex);
    while (running > 0) {
      ended.wait_for(lock, kReportEvery);
      lock.unlock();
      tick();
      lock.lock();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

Connection InitialLoad::connect(const std::string& use) const {
  return Connection::open(setup_.conninfo,
                          fmt::format("switchback {} {}", setup_.mapping->bridge, use));
}

Connection& InitialLoad::connection() {
  if (!connection_ || !connection_->alive()) {
    connection_.reset();
    connection_ = connect("load");
    noted_.assign(setup_.mapping->tables.size(), false);
  }
  return *connection_;
}

void InitialLoad::report(const std::string& what, std::uint64_t built, std::uint64_t total) {
  if (setup_.progress) setup_.progress({what, rows_.load(), estimate_, built, total});
}

LoadStep InitialLoad::step() {
  Connection& sql = connection();
  if (!has_meta(sql)) return LoadStep::kCopy;
  const Result done =
      sql.exec("SELECT step FROM switchback.load_step WHERE bridge = $1 AND store = $2",
               {setup_.mapping->bridge, setup_.store});
  const auto has = [&](LoadStep step) {
    for (int i = 0; i < done.rows(); ++i) {
      if (done.text(i, 0) == name_of(step)) return true;
    }
    return false;
  };
  for (const LoadStep step :
       {LoadStep::kCopy, LoadStep::kKeys, LoadStep::kCatchUp, LoadStep::kRest}) {
    if (!has(step)) return step;
  }
  return LoadStep::kDone;
}

void InitialLoad::finish(LoadStep done) {
  Connection& sql = connection();
  sql.exec("BEGIN");
  sql.exec(
      "INSERT INTO switchback.load_step (bridge, store, step) VALUES ($1, $2, $3) "
      "ON CONFLICT DO NOTHING",
      {setup_.mapping->bridge, setup_.store, std::string(name_of(done))});
  failpoint("load.step.commit.before");
  sql.exec("COMMIT");
  failpoint("load.step.commit.after");
}

void InitialLoad::prepare(RowReader& planner) {
  Connection& sql = connection();
  const Mapping& mapping = *setup_.mapping;
  sql.exec("BEGIN; SET LOCAL lock_timeout = '10s'");
  try {
    // First, because a parent's primary key takes its incoming foreign keys along, to be made
    // again.
    for (const TableId id : loaded_tables()) {
      const TableMap& map = mapping.table(id);
      if (map.orphans == Orphans::kLeave) {
        leave_out_foreign_keys(sql, mapping, setup_.store, map);
      }
    }
    for (const TableId id : loaded_tables()) {
      const TableMap& map = mapping.table(id);
      // Partitions share keys with their parent; such a table keeps all but its foreign keys and is
      // loaded by upsert.
      const Result form = sql.exec(
          "SELECT relkind = 'r' AND NOT relispartition AND NOT EXISTS (SELECT 1 FROM pg_inherits "
          "WHERE inhparent = c.oid OR inhrelid = c.oid), relkind = 'p' FROM pg_class c "
          "WHERE oid = to_regclass($1)",
          {quoted_name(map)});
      const bool plain = form.boolean(0, 0);
      const bool partitioned = form.boolean(0, 1);
      // Again on resume: somebody may have made an index meanwhile (a schema file, say).
      const bool begun =
          sql.exec(
                 "SELECT 1 FROM switchback.dropped_object WHERE bridge = $1 AND store = $2 AND "
                 "to_regclass(table_name) = to_regclass($3) AND NOT left_out",
                 {mapping.bridge, setup_.store, quoted_name(map)})
              .rows() > 0;
      const bool empty =
          sql.exec(fmt::format("SELECT 1 FROM {} LIMIT 1", quoted_name(map))).rows() == 0;
      if (setup_.drop_constraints && (begun || empty)) {
        if (plain) drop_for_load(sql, mapping, setup_.store, map);
        if (partitioned) drop_foreign_keys_for_load(sql, mapping, setup_.store, map);
      }
      plan_parts(sql, mapping, setup_.store, id, planner, has_primary_key(sql, map) ? 1 : kParts);
    }
    failpoint("load.drop.commit.before");
    sql.exec("COMMIT");
    failpoint("load.drop.commit.after");
  } catch (...) {
    if (sql.alive()) PQclear(PQexec(sql.raw(), "ROLLBACK"));
    throw;
  }
}

std::vector<TableId> InitialLoad::loaded_tables() {
  std::vector<TableId> ids;
  for (const TableId id : setup_.mapping->parents_first()) {
    if (setup_.mapping->table(id).store == setup_.store) ids.push_back(id);
  }
  return ids;
}

void InitialLoad::copy(std::stop_token stop) {
  prepare(*setup_.make_reader());
  const std::vector<TableId> tables = loaded_tables();
  const Result so_far = connection().exec(
      "SELECT coalesce(sum(rows), 0)::bigint, coalesce(sum(estimate), 0)::bigint FROM "
      "switchback.load WHERE bridge = $1 AND store = $2",
      {setup_.mapping->bridge, setup_.store});
  rows_ = static_cast<std::uint64_t>(so_far.integer(0, 0));
  estimate_ = static_cast<std::uint64_t>(so_far.integer(0, 1));
  auto parts = open_parts(connection(), *setup_.mapping, setup_.store, tables);
  // Where foreign keys stand, parents go first and one table at a time; else the largest go first.
  const bool keys_stand = foreign_keys_stand(tables);
  if (!keys_stand) {
    std::stable_sort(parts.begin(), parts.end(),
                     [](const LoadPart& a, const LoadPart& b) { return a.estimate > b.estimate; });
  }
  in_parallel(
      parts, keys_stand ? 1 : kWorkers, stop,
      [&] {
        auto session = std::make_shared<Connection>(connect("load"));
        session->exec(kCopySession);
        auto memory = std::make_shared<TableLoad::Memory>();
        return [this, session, memory](const LoadPart& part, std::stop_token until) {
          TableLoad load(*session, *setup_.mapping, setup_.store, part, *memory, rows_);
          load.run(*setup_.make_reader(), until);
        };
      },
      [&] { report("", 0, 0); });
  if (!stop.stop_requested()) finish(LoadStep::kCopy);
}

bool InitialLoad::foreign_keys_stand(const std::vector<TableId>& tables) {
  std::vector<std::string> names;
  for (const TableId id : tables) names.push_back(quoted_name(setup_.mapping->table(id)));
  return connection()
             .exec(
                 "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND conrelid = "
                 "ANY ($1::regclass[]::oid[]) LIMIT 1",
                 {text_array(names)})
             .rows() > 0;
}

void InitialLoad::remove_keys(const Chunk& keys) {
  Connection& sql = connection();
  for (const TableId id : loaded_tables()) {
    const TableMap& map = setup_.mapping->table(id);
    const auto columns = key_columns(map);
    CopyPage page;
    Chunk& mine = page.begin(map, columns);
    for (const Change& change : keys.changes()) {
      if (change.table != id || change.op == Op::kTruncate) continue;
      copy_key(id, keys.row(change).first(map.key_width), keys, mine);
    }
    if (mine.empty()) continue;
    if (!noted_[index(id)]) {
      std::string types;
      for (const auto c : columns) {
        const bool text = map.columns[c].type == PgType::kOtherText;
        types += fmt::format("{}k{} {}", types.empty() ? "" : ", ", c,
                             text ? "text" : map.columns[c].type_name);
      }
      sql.exec(fmt::format("CREATE TEMP TABLE {} ({})", keys_table(id), types));
      noted_[index(id)] = true;
    }
    // A key that PostgreSQL cannot hold was not copied either.
    page.encode();
    if (page.rows() == 0) continue;
    const std::string_view rows = page.slice(0, page.rows());
    const auto failure = copy_in(
        sql, fmt::format("COPY pg_temp.{} FROM STDIN (FORMAT binary)", keys_table(id)), {&rows, 1});
    if (!failure) continue;
    for (std::size_t row = 0; row < page.rows(); ++row) {
      const std::string_view one = page.slice(row, row + 1);
      copy_in(sql, fmt::format("COPY pg_temp.{} FROM STDIN (FORMAT binary)", keys_table(id)),
              {&one, 1});
    }
  }
}

void InitialLoad::build_keys() {
  Connection& sql = connection();
  const auto objects = dropped_objects(sql, *setup_.mapping, setup_.store, true);
  for (const TableId id : loaded_tables()) {
    const TableMap& map = setup_.mapping->table(id);
    if (has_primary_key(sql, map) || !noted_[index(id)]) continue;
    std::string match;
    std::vector<std::string> key;
    for (std::uint16_t c = 0; c < map.key_width; ++c) {
      key.push_back(map.columns[c].name);
      match += fmt::format("{}t.{} = k.k{}::{}", c == 0 ? "" : " AND ",
                           quote_identifier(map.columns[c].name), c, map.columns[c].type_name);
    }
    sql.exec(fmt::format("ANALYZE pg_temp.{}", keys_table(id)));
    // The pump brings them again; but not what the old store has dropped meanwhile, of which a
    // table that keeps its rows keeps the copy that was read last.
    if (map.keep_deleted) match += " AND " + has_twin(map, key, ">");
    sql.exec(std::string("BEGIN; ") + kPassFence);
    sql.exec(fmt::format("DELETE FROM {} t USING (SELECT DISTINCT * FROM pg_temp.{}) k WHERE {}",
                         quoted_name(map), keys_table(id), match));
    failpoint("load.key.commit.before");
    sql.exec("COMMIT");
    failpoint("load.key.commit.after");
  }
  build(objects, {});
  finish(LoadStep::kKeys);
}

void InitialLoad::caught_up() {
  finish(LoadStep::kCatchUp);
}

void InitialLoad::build(const std::vector<DroppedObject>& objects, std::stop_token stop) {
  std::atomic<std::uint64_t> built{0};
  std::mutex mutex;
  std::string current;
  in_parallel(
      objects, kWorkers, stop,
      [&] {
        return [&, session = std::make_shared<Connection>(connect("load"))](
                   const DroppedObject& object, std::stop_token) {
          {
            const std::lock_guard lock(mutex);
            current = object.table + " " + object.name;
          }
          try {
            make_object(*session, *setup_.mapping, setup_.store, object);
          } catch (...) {
            if (session->alive() && session->in_transaction()) {
              PQclear(PQexec(session->raw(), "ROLLBACK"));
            }
            throw;
          }
          ++built;
        };
      },
      [&] {
        std::unique_lock lock(mutex);
        const std::string what = current;
        lock.unlock();
        report(what, built.load(), objects.size());
      });
}

void InitialLoad::build_rest(std::stop_token stop) {
  const auto objects = dropped_objects(connection(), *setup_.mapping, setup_.store, false);
  const auto keys = std::find_if(objects.begin(), objects.end(),
                                 [](const DroppedObject& object) { return object.sort == 'f'; });
  build({objects.begin(), keys}, stop);
  // A foreign key locks two tables and needs the unique keys above: one at a time, parents first.
  for (auto key = keys; key != objects.end() && !stop.stop_requested(); ++key) {
    report(key->table + " " + key->name, 0, 0);
    make_object(connection(), *setup_.mapping, setup_.store, *key);
  }
  build(finishing_touches(connection(), *setup_.mapping, setup_.store), stop);
  if (!stop.stop_requested()) finish(LoadStep::kRest);
}

}  // namespace switchback
