#include "watchers/sqlite/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "state/base/deadline.h"
#include "state/base/error.h"
#include "state/base/sql_quote.h"
#include "watchers/sqlite/busy_wait.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/prepared.h"
#include "watchers/sqlite/row_query.h"
#include "watchers/sqlite/scan_cursor.h"
#include "watchers/sqlite/schema.h"

namespace switchback {
namespace {

// How long one read transaction may last (see the design's manners), and how many rows are read
// between two looks at the clock.
constexpr std::chrono::milliseconds kRollbackSnapshot{20};
constexpr std::chrono::milliseconds kWalSnapshot{500};
constexpr int kRowsPerLook = 16;
constexpr std::chrono::seconds kBusyPatience{5};

std::string joined(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// The statements of one table, made when it is first read.
class TableScan {
 public:
  TableScan(SQLite::Database& database, const TableMap& map, const SqliteTable& table)
      : map_(map),
        order_(order_of(table)),
        stable_(table.without_rowid || table.rowid_alias),
        by_rowid_(!table.without_rowid),
        first_(database, select(false)),
        next_(database, select(true)),
        row_(database, map) {}

  /// Rowids that are not a key may be given anew by VACUUM.
  bool stable() const { return stable_; }
  RowQuery& row() { return row_; }
  /// The rowid's name, or nothing where the table has none.
  std::string rowid() const { return by_rowid_ ? order_.front() : ""; }

  /// True if the end of the table, or of the place's part, was reached.
  bool run(const ScanPlace& place, Deadline deadline, Chunk& out, std::vector<StoredValue>& last) {
    Prepared& statement = place.after.empty() ? first_ : next_;
    const ResetAtEnd reset(statement);
    int bound = 0;
    if (by_rowid_) {
      sqlite3_bind_int64(statement.get(), ++bound, place.until.value_or(INT64_MAX));
    }
    for (const KeyForm& value : place.after) {
      bind_value(statement.get(), ++bound, value.view());
    }
    for (int rows = 1; statement.step(); ++rows) {
      append_row(map_, statement.get(), out, static_cast<int>(order_.size()));
      const bool enough = out.full() || (rows % kRowsPerLook == 0 && deadline.passed());
      if (!enough) continue;
      keep_place(statement, last);
      return false;
    }
    return true;
  }

 private:
  static std::vector<std::string> order_of(const SqliteTable& table) {
    std::vector<std::string> order;
    if (table.without_rowid || table.rowid_alias) {
      for (const int at : table.primary_key) {
        order.push_back(quote_identifier(table.columns.at(static_cast<std::size_t>(at)).name));
      }
      return order;
    }
    order = rowid_names(table);
    if (order.empty()) {
      throw Error(ErrorKind::kData, Retry::kNever, "its columns hide every name of the rowid",
                  {.object = table.name, .next = "rename its column rowid, oid or _rowid_"});
    }
    order.resize(1);
    return order;
  }

  std::string select(bool after) const {
    std::string where = by_rowid_ ? fmt::format(" WHERE {} <= ?", order_.front()) : "";
    if (after) {
      std::vector<std::string> marks(order_.size(), "?");
      where += fmt::format("{} ({}) > ({})", where.empty() ? " WHERE" : " AND", joined(order_),
                           joined(marks));
    }
    return fmt::format("SELECT {0}, {1} FROM main.{2}{3} ORDER BY {0}", joined(order_),
                       column_list(map_), quote_identifier(map_.old_table), where);
  }

  /// Copies the place, since the statement's row ends with the snapshot.
  void keep_place(Prepared& statement, std::vector<StoredValue>& last) {
    last.clear();
    bytes_.assign(order_.size(), "");
    for (std::size_t i = 0; i < order_.size(); ++i) {
      StoredValue value = StoredValue::of_column(statement.get(), static_cast<int>(i));
      bytes_[i] = value.bytes;
      value.bytes = bytes_[i];
      last.push_back(value);
    }
  }

  const TableMap& map_;
  std::vector<std::string> order_;
  bool stable_, by_rowid_;
  Prepared first_, next_;
  RowQuery row_;
  std::vector<std::string> bytes_;
};

class SqliteReader : public RowReader {
 public:
  SqliteReader(SQLite::Database database, std::filesystem::path path,
               std::shared_ptr<const Mapping> mapping, std::string store)
      : path_(std::move(path)),
        mapping_(std::move(mapping)),
        store_(std::move(store)),
        database_(std::move(database)),
        scans_(mapping_->tables.size()) {}

 private:
  template <class Call>
  auto in_snapshot(Call call) {
    try {
      const BusyWait patience(database_.getHandle(), Deadline::in(kBusyPatience));
      const SQLite::Transaction snapshot(database_);
      return call();
    } catch (const SQLite::Exception& error) {
      throw_sqlite_error(error, path_);
    }
  }

 public:
  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override {
    return in_snapshot([&] { return scan_here(table, cursor, out); });
  }
  Window fetch(TableId table, const Chunk& keys, Chunk& out) override {
    return in_snapshot([&] { return fetch_here(table, keys, out); });
  }
  std::vector<ScanCursor> parts(TableId table, unsigned at_most) override {
    return in_snapshot([&] { return parts_here(table, at_most); });
  }
  std::uint64_t estimate(TableId table) override {
    return in_snapshot([&] { return estimate_here(table); });
  }

 private:
  TableScan& scan_of(TableId table) {
    auto& scan = scans_.at(index(table));
    if (scan) return *scan;
    const TableMap& map = mapping_->table(table);
    if (map.store != store_) {
      throw Error(ErrorKind::kInternal, Retry::kNever, "a table of another store",
                  {.object = map.old_table});
    }
    const auto schema = read_schema(database_);
    const auto found = std::find_if(schema.begin(), schema.end(), [&](const SqliteTable& t) {
      return sqlite3_stricmp(t.name.c_str(), map.old_table.c_str()) == 0;
    });
    if (found == schema.end()) {
      throw Error(ErrorKind::kData, Retry::kNever, "there is no such table in the database",
                  {.object = map.old_table, .next = "correct [table] in the configuration"});
    }
    scan = std::make_unique<TableScan>(database_, map, *found);
    return *scan;
  }

  std::int64_t number(const std::string& sql) { return database_.execAndGet(sql).getInt64(); }

  /// A table made anew under the same name may have another key: look again.
  void notice_schema(std::int64_t version) {
    if (version == schema_version_) return;
    for (auto& scan : scans_) scan.reset();
    schema_version_ = version;
  }

  /// The log's end in this snapshot; {} while there is no log.
  Position log_end() {
    if (number(fmt::format("SELECT count(*) FROM main.sqlite_schema WHERE name IN ('{}', '{}')",
                           kLogTable, kMetaTable)) != 2) {
      return {};
    }
    SQLite::Statement query(
        database_, fmt::format("SELECT seq, nonce, (SELECT value FROM main.{} WHERE name = "
                               "'history') FROM main.{} ORDER BY seq DESC LIMIT 1",
                               kMetaTable, kLogTable));
    if (!query.executeStep()) return {};
    return {static_cast<std::uint64_t>(query.getColumn(2).getInt64()),
            static_cast<std::uint64_t>(query.getColumn(0).getInt64()),
            static_cast<std::uint64_t>(query.getColumn(1).getInt64())};
  }

  Window scan_here(TableId table, ScanCursor& cursor, Chunk& out) {
    const Deadline deadline =
        Deadline::in(in_wal_mode(database_) ? kWalSnapshot : kRollbackSnapshot);
    const std::int64_t version = number("PRAGMA main.schema_version");
    notice_schema(version);
    const Position position = log_end();
    TableScan& scan = scan_of(table);
    const std::int64_t valid_for = scan.stable() ? 0 : version;
    ScanPlace place;
    if (!cursor.after.empty()) {
      place = decode_place(cursor.after);
      if (place.schema_version != valid_for) {
        throw Error(ErrorKind::kHistory, Retry::kLater,
                    "the schema changed during the scan, and its rows may have other rowids now",
                    {.object = mapping_->table(table).old_table});
      }
    }
    std::vector<StoredValue> last;
    cursor.done = scan.run(place, deadline, out, last);
    if (!last.empty()) cursor.after = encode_place(valid_for, last, place.until);
    return {position, position};
  }

  /// Equal stretches of rowids; the last has no end, for rows that are born during the scan.
  std::vector<ScanCursor> parts_here(TableId table, unsigned at_most) {
    const std::int64_t version = number("PRAGMA main.schema_version");
    notice_schema(version);
    const TableScan& scan = scan_of(table);
    if (scan.rowid().empty() || at_most < 2) return {{}};
    const std::string of = quote_identifier(mapping_->table(table).old_table);
    const auto first = number(fmt::format("SELECT min({}) FROM main.{}", scan.rowid(), of));
    const auto last = number(fmt::format("SELECT max({}) FROM main.{}", scan.rowid(), of));
    // As unsigned, since rowids may span all 64 bits.
    const std::uint64_t step =
        (static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first)) / at_most;
    if (step == 0) return {{}};
    const std::int64_t valid_for = scan.stable() ? 0 : version;
    std::vector<ScanCursor> parts;
    std::vector<StoredValue> after;
    for (unsigned i = 1; i <= at_most; ++i) {
      const auto end = static_cast<std::int64_t>(static_cast<std::uint64_t>(first) + i * step);
      const bool open_ended = i == at_most;
      parts.push_back(
          {encode_place(valid_for, after, open_ended ? std::nullopt : std::optional(end)), false});
      after.assign(1, StoredValue{SQLITE_INTEGER, end, 0, {}});
    }
    return parts;
  }

  Window fetch_here(TableId table, const Chunk& keys, Chunk& out) {
    notice_schema(number("PRAGMA main.schema_version"));
    const Position position = log_end();
    RowQuery& row = scan_of(table).row();
    const std::uint16_t width = mapping_->table(table).key_width;
    for (const Change& change : keys.changes()) {
      if (change.table != table || change.op == Op::kTruncate) continue;
      const auto key = keys.row(change).first(width);
      if (row.append_current(key, keys, out)) continue;
      for (const Cell& cell : key) out.add(copy_cell(cell, keys, out));
      out.end_delete(table);
    }
    return {position, position};
  }

  /// Counting would read the whole table: what ANALYZE left, or the span of the rowids, will do.
  std::uint64_t estimate_here(TableId table) {
    constexpr int kCountedAtMost = 10'000;
    const TableMap& map = mapping_->table(table);
    const std::string name = quote_identifier(map.old_table);
    if (number("SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_stat1'") != 0) {
      SQLite::Statement query(database_,
                              "SELECT max(CAST(stat AS INTEGER)) FROM main.sqlite_stat1 "
                              "WHERE tbl = ? COLLATE NOCASE");
      query.bind(1, map.old_table);
      if (query.executeStep() && !query.getColumn(0).isNull()) {
        return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
      }
    }
    const std::int64_t counted = number(
        fmt::format("SELECT count(*) FROM (SELECT 1 FROM main.{} LIMIT {})", name, kCountedAtMost));
    if (counted < kCountedAtMost) return static_cast<std::uint64_t>(counted);
    const auto schema = read_schema(database_);
    for (const SqliteTable& t : schema) {
      if (sqlite3_stricmp(t.name.c_str(), map.old_table.c_str()) != 0) continue;
      const auto ids = rowid_names(t);
      if (ids.empty()) break;
      const std::int64_t span = number(fmt::format("SELECT max({0}) FROM main.{1}", ids[0], name)) -
                                number(fmt::format("SELECT min({0}) FROM main.{1}", ids[0], name));
      return static_cast<std::uint64_t>(std::max(span, counted));
    }
    return static_cast<std::uint64_t>(counted);
  }

  std::filesystem::path path_;
  std::shared_ptr<const Mapping> mapping_;
  std::string store_;
  SQLite::Database database_;
  std::int64_t schema_version_ = -1;
  std::vector<std::unique_ptr<TableScan>> scans_;  // after database_: goes first
};

}  // namespace

std::unique_ptr<RowReader> open_sqlite_reader(const std::filesystem::path& path,
                                              std::shared_ptr<const Mapping> mapping,
                                              const std::string& store) {
  return std::make_unique<SqliteReader>(open_database(path, SqliteUse::kRead), path,
                                        std::move(mapping), store);
}

}  // namespace switchback
