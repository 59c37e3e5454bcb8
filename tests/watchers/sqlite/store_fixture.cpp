#include "tests/watchers/sqlite/store_fixture.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <condition_variable>
#include <mutex>
#include <stop_token>

#include "state/ports/change_sink.h"
#include "watchers/sqlite/capture.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/row_query.h"
#include "watchers/sqlite/schema.h"

namespace switchback {

StoreFixture::StoreFixture(const std::string& journal_mode, std::shared_ptr<const Mapping> mapping,
                           const std::string& schema)
    : mapping_(std::move(mapping)) {
  SQLite::Database database(path().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  database.exec("PRAGMA journal_mode = " + journal_mode);
  database.exec(schema);
  reopen();
  install();
}

void StoreFixture::reopen() {
  application_.reset();
  application_ = std::make_unique<SQLite::Database>(path().string(), SQLite::OPEN_READWRITE);
  application_->setBusyTimeout(5'000);
  application_->exec("PRAGMA synchronous = NORMAL");
}

void StoreFixture::install() {
  SQLite::Transaction transaction(*application_);
  exec(create_log_sql(mapping_->widest_key()));
  exec(fmt::format("CREATE TABLE {}(name TEXT PRIMARY KEY, value)", kMetaTable));
  exec(fmt::format("INSERT INTO {} VALUES ('history', abs(random()))", kMetaTable));
  exec(fmt::format("INSERT INTO {}(tbl) VALUES (-1)", kLogTable));
  for (const SqliteTable& table : read_schema(*application_)) {
    for (const TableMap& map : mapping_->tables) {
      if (map.old_table != table.name) continue;
      for (const CaptureTrigger& trigger : capture_triggers(map, table)) exec(trigger.create);
    }
  }
  transaction.commit();
}

LogMark StoreFixture::install_entry() {
  SQLite::Statement query(*application_,
                          fmt::format("SELECT seq, nonce FROM {} WHERE tbl = -1", kLogTable));
  EXPECT_TRUE(query.executeStep());
  return {query.getColumn(0).getInt64(), query.getColumn(1).getInt64()};
}

LogMark StoreFixture::log_end() {
  LogReader log(*application_, *mapping_, "app");
  return log.last().value();
}

void StoreFixture::insert_parents(int count) {
  SQLite::Transaction transaction(*application_);
  for (int i = 0; i < count; ++i) exec("INSERT INTO parent(name) VALUES ('x')");
  transaction.commit();
}

std::jthread again_and_again(const std::filesystem::path& database, std::chrono::milliseconds pause,
                             std::function<void(SQLite::Database&)> once) {
  return std::jthread([=](const std::stop_token& stop) {
    SQLite::Database mine(database.string(), SQLite::OPEN_READWRITE);
    mine.setBusyTimeout(5'000);
    mine.exec("PRAGMA synchronous = OFF");
    std::mutex mutex;
    std::condition_variable_any pace;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      once(mine);
      if (pause.count() != 0) pace.wait_for(lock, stop, pause, [] { return false; });
    }
  });
}

namespace {

std::string cell_text(const Chunk& chunk, const Cell& cell) {
  if (has_text(cell.kind)) return std::string(chunk.text(cell));
  if (cell.kind == Kind::kNull) return "NULL";
  if (cell.kind == Kind::kReal) return fmt::format("{}", cell.d);
  return std::to_string(cell.i);
}

std::string name_of(const TableMap& map, const Chunk& chunk, std::span<const Cell> key) {
  std::string name = map.table + " [";
  for (const Cell& cell : key) name += cell_text(chunk, cell) + ",";
  return name + "]";
}

std::string row_text(const Chunk& chunk, std::span<const Cell> row) {
  std::string text;
  for (const Cell& cell : row) text += cell_text(chunk, cell) + "|";
  return text;
}

}  // namespace

void Replica::apply(const Chunk& chunk) {
  for (const Change& change : chunk.changes()) {
    ++changes_;
    switch (change.op) {
      case Op::kUpsert:
        upsert(chunk, change);
        break;
      case Op::kDelete:
        remove(chunk, change);
        break;
      case Op::kTruncate:
        FAIL() << "SQLite truncates nothing";
      case Op::kMisfit: {
        const TableMap& map = mapping_->table(change.table);
        rows_[name_of(map, chunk, chunk.row(change))] =
            "misfit: " + std::string(chunk.text(change.reason));
        break;
      }
    }
  }
}

void Replica::upsert(const Chunk& chunk, const Change& change) {
  const TableMap& map = mapping_->table(change.table);
  const std::span<const Cell> row = chunk.row(change);
  const std::string name = name_of(map, chunk, row.first(map.key_width));
  rows_[name] = row_text(chunk, row);
  for (const ForeignKey& key : map.foreign_keys) {
    const auto before = parent_of_.find(name);
    if (before != parent_of_.end()) {
      --children_of_[before->second];
      parent_of_.erase(before);
    }
    const Cell& cell = row[key.columns[0]];
    if (cell.kind == Kind::kNull) continue;
    const std::string parent = name_of(mapping_->table(key.parent), chunk, std::span(&cell, 1));
    EXPECT_TRUE(rows_.contains(parent)) << name << " came before its parent " << parent;
    parent_of_[name] = parent;
    ++children_of_[parent];
  }
}

void Replica::remove(const Chunk& chunk, const Change& change) {
  const TableMap& map = mapping_->table(change.table);
  const std::string name = name_of(map, chunk, chunk.row(change));
  const bool cascades =
      std::any_of(mapping_->tables.begin(), mapping_->tables.end(), [&](const TableMap& child) {
        return std::any_of(
            child.foreign_keys.begin(), child.foreign_keys.end(),
            [&](const ForeignKey& key) { return key.parent == map.id && key.on_delete == 'c'; });
      });
  if (cascades) {
    for (auto it = parent_of_.begin(); it != parent_of_.end();) {
      if (it->second == name) rows_.erase(it->first);
      it = it->second == name ? parent_of_.erase(it) : std::next(it);
    }
    children_of_[name] = 0;
  }
  EXPECT_EQ(children_of_[name], 0) << name << " was deleted before its children";
  rows_.erase(name);
  if (const auto parent = parent_of_.find(name); parent != parent_of_.end()) {
    --children_of_[parent->second];
    parent_of_.erase(parent);
  }
}

std::map<std::string, std::string> Replica::rows_of(SQLite::Database& database,
                                                    const Mapping& mapping) {
  std::map<std::string, std::string> rows;
  for (const TableMap& map : mapping.tables) {
    Prepared all(database, "SELECT " + column_list(map) + " FROM " + map.old_table);
    Chunk chunk;
    while (all.step()) append_row(map, all.get(), chunk);
    for (const Change& change : chunk.changes()) {
      const std::span<const Cell> row = chunk.row(change);
      rows[name_of(map, chunk, row.first(map.key_width))] =
          change.op == Op::kMisfit ? "misfit: " + std::string(chunk.text(change.reason))
                                   : row_text(chunk, row);
    }
  }
  return rows;
}

std::optional<Position> pull_batch(ChangeSource& source, Replica& replica,
                                   std::chrono::milliseconds limit) {
  const Deadline deadline = Deadline::in(limit);
  Chunk chunk;
  while (source.pull(chunk, deadline, std::stop_token{}) == Pull::kChunk) {
    replica.apply(chunk);
    if (chunk.boundary) return chunk.boundary;
  }
  return std::nullopt;
}

}  // namespace switchback
