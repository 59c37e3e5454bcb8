#include "replication/reader.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "replication/codec.h"
#include "replication/history.h"
#include "replication/lsn.h"
#include "replication/meta.h"
#include "replication/outlived.h"
#include "replication/sink_statements.h"
#include "replication/wire.h"
#include "state/base/deadline.h"
#include "state/base/sql_quote.h"
#include "state/model/copy_change.h"

namespace switchback {
namespace {

constexpr std::uint32_t kMostRows = 4096;
// A table of fewer rows is counted: PostgreSQL's own estimate may be long out of date.
constexpr std::int64_t kCountBelow = 100'000;

constexpr std::chrono::milliseconds kCommitWithin{1'000};
constexpr std::chrono::milliseconds kFirstLook{1};
constexpr std::chrono::milliseconds kLastLook{50};

std::string key_list(const TableMap& map, const std::string& prefix) {
  std::string out;
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    out += (i == 0 ? "" : ", ") + prefix + quote_identifier(map.columns[i].name);
  }
  return out;
}

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

/// A cursor is each key column's binary form in hexadecimal, separated by commas.
std::string make_cursor(const TableMap& map, const Chunk& chunk, std::span<const Cell> key) {
  std::string out;
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    std::string bytes;
    encode_binary(map.columns[i], key[i], has_text(key[i].kind) ? chunk.text(key[i]) : "", bytes);
    out += (i == 0 ? "" : ",") + hex(bytes);
  }
  return out;
}

std::vector<std::string> parse_cursor(const TableMap& map, std::string_view cursor) {
  std::vector<std::string> parts(1);
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i < cursor.size();) {
    if (cursor[i] == ',') {
      parts.emplace_back();
      ++i;
      continue;
    }
    if (i + 1 == cursor.size()) break;
    parts.back() += static_cast<char>(digit(cursor[i]) * 16 + digit(cursor[i + 1]));
    i += 2;
  }
  if (parts.size() != map.key_width) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a scan cursor that is not of this table",
                {.object = plain_name(map), .sqlstate = {}, .next = {}});
  }
  return parts;
}

/// Runs a statement with binary parameters.
Result exec_binary(Connection& connection, const std::string& sql, const std::vector<Oid>& types,
                   const char* const* values, const int* lengths, const int* formats,
                   bool binary_result) {
  Result result(PQexecParams(connection.raw(), sql.c_str(), static_cast<int>(types.size()),
                             types.data(), values, lengths, formats, binary_result ? 1 : 0));
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
    throw_postgres_error(connection.raw(), result.get(), sql);
  }
  return result;
}

}  // namespace

Connection& PostgresReader::connection() {
  if (!connection_ || !connection_->alive() || connection_->in_transaction()) {
    connection_.reset();
    connection_ = Connection::open(conninfo_, "switchback " + mapping_->bridge + " reader");
    // The order of the key comes from its index, never from sorting the whole table, and the order
    // of places from a scan by place.
    connection_->exec("SET enable_seqscan = off; SET jit = off");
    history_ = postgres_history_by_sql(*connection_);
  }
  return *connection_;
}

PostgresReader::Table& PostgresReader::table(TableId id) {
  const auto known = tables_.find(id);
  if (known != tables_.end()) return known->second;
  const TableMap& map = mapping_->table(id);
  const Target target = read_target(connection(), map);
  Table table;
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    if (map.columns[i].type == PgType::kOtherText) table.binary = false;
    table.columns += (i == 0 ? "t." : ", t.") + quote_identifier(map.columns[i].name);
    if (i < map.key_width) table.casts.push_back(target.casts[i]);
  }
  // A table with partitions or heirs is several heaps, each with places of its own.
  const Result heap = connection().exec(
      "SELECT relkind = 'r' AND NOT relhassubclass AND amname = 'heap' AND "
      "current_setting('server_version_num')::int >= 140000 FROM pg_class c "
      "LEFT JOIN pg_am a ON a.oid = c.relam WHERE c.oid = $1::regclass",
      {quoted_name(map)});
  table.one_heap = heap.rows() == 1 && heap.string(0, 0) == "t";
  return tables_.emplace(id, std::move(table)).first->second;
}

Position PostgresReader::position() {
  // Where WAL is being inserted: a commit without flush is visible before it is written.
  const Result result = connection().exec("SELECT pg_current_wal_insert_lsn()");
  const std::optional<Lsn> lsn = parse_lsn(result.text(0, 0));
  if (!lsn) throw Error(ErrorKind::kInternal, Retry::kNever, "the server's LSN is no LSN");
  return {history_, lsn->value, 0};
}

// A commit goes into the log, and so to whoever follows the slot, a moment before others can see
// it; with a synchronous standby the moment lasts until the standby answers. A row read in between
// would be older than what was applied of it. Nothing tells such a transaction from one whose
// statement runs long, so the others get a little time.
void PostgresReader::wait_for_commits_under_way() {
  constexpr const char* kActive =
      "SELECT coalesce(array_agg(backend_xid::text), '{}'),"
      " coalesce(bool_or(wait_event = 'SyncRep'), false) FROM pg_stat_activity"
      " WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
      " AND coalesce(state, '') NOT LIKE 'idle in transaction%'"
      " AND ($1::text IS NULL OR backend_xid::text = ANY ($1::text[]))";
  std::optional<std::string> active;
  const Deadline deadline = Deadline::in(kCommitWithin);
  for (auto pause = kFirstLook;; pause = std::min(pause * 2, kLastLook)) {
    const Result found = connection().exec(kActive, {active});
    active = found.string(0, 0);
    if (active == "{}") return;
    if (deadline.passed()) {
      if (!found.boolean(0, 1)) return;
      throw Error(ErrorKind::kBusy, Retry::kLater, "a commit waits for its synchronous standby",
                  {.object = "PostgreSQL",
                   .sqlstate = {},
                   .next = "look at pg_stat_replication and synchronous_standby_names"});
    }
    std::this_thread::sleep_for(pause);
  }
}

// The first field of each row is its place there, or nothing.
Result PostgresReader::scan_by_key(const TableMap& map, const Table& table,
                                   const ScanCursor& cursor) {
  std::string sql = "SELECT NULL, " + table.columns + " FROM " + quoted_name(map) + " AS t";
  std::vector<std::string> key;
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  if (!cursor.after.empty()) {
    key = parse_cursor(map, cursor.after);
    std::string marks;
    for (std::uint16_t i = 0; i < map.key_width; ++i) {
      marks += (i == 0 ? "$" : ", $") + std::to_string(i + 1) + table.casts[i];
      types.push_back(type_oid(map.columns[i].type));
      values.push_back(key[i].data());
      lengths.push_back(static_cast<int>(key[i].size()));
      formats.push_back(1);
    }
    sql += " WHERE (" + key_list(map, "t.") + ") > (" + marks + ")";
  }
  sql += not_outlived(mapping_->bridge, map, cursor.after.empty() ? "WHERE" : "AND");
  sql += " ORDER BY " + key_list(map, "t.") + " LIMIT " + std::to_string(table.page_rows);
  return exec_binary(connection(), sql, types, values.data(), lengths.data(), formats.data(),
                     table.binary);
}

// A TID range scan gives the rows in the order of their places without being asked for it, which
// would make the server sort the rest of the table.
Result PostgresReader::scan_by_place(const TableMap& map, const Table& table,
                                     const ScanCursor& cursor) {
  const std::string after = cursor.after.empty() ? "(0,0)" : cursor.after;
  const std::string sql = "SELECT t.ctid::text, " + table.columns + " FROM " + quoted_name(map) +
                          " AS t WHERE t.ctid > '" + after + "'::tid" +
                          not_outlived(mapping_->bridge, map, "AND") + " LIMIT " +
                          std::to_string(table.page_rows);
  return exec_binary(connection(), sql, {}, nullptr, nullptr, nullptr, table.binary);
}

void PostgresReader::take_row(const TableMap& map, const Table& table, const Result& result,
                              int row, int at, Chunk& out) {
  const auto decode = [&](std::size_t column) {
    const int field = at + static_cast<int>(column);
    if (result.is_null(row, field)) return Cell::null();
    return table.binary ? decode_binary(map.columns[column], result.text(row, field), out)
                        : decode_text(map.columns[column], result.text(row, field), out);
  };
  try {
    for (std::size_t i = 0; i < map.columns.size(); ++i) out.add(decode(i));
    out.end_upsert(map.id);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    out.drop_row();
    for (std::size_t i = 0; i < map.key_width; ++i) out.add(decode(i));
    out.end_misfit(map.id, error.what());
  }
}

Window PostgresReader::scan(TableId id, ScanCursor& cursor, Chunk& out) {
  const TableMap& map = mapping_->table(id);
  Table& known = table(id);
  Window window;
  window.from = position();
  const std::size_t bytes_before = out.bytes();
  const Result result =
      known.one_heap ? scan_by_place(map, known, cursor) : scan_by_key(map, known, cursor);
  int taken = 0;
  while (taken < result.rows() && !out.full()) take_row(map, known, result, taken++, 1, out);
  cursor.done = taken == result.rows() && taken < static_cast<int>(known.page_rows);
  if (taken > 0) {
    cursor.after = known.one_heap
                       ? std::string(result.text(taken - 1, 0))
                       : make_cursor(map, out, out.row(out.changes().back()).first(map.key_width));
    const std::size_t row_bytes = (out.bytes() - bytes_before) / static_cast<std::size_t>(taken);
    known.page_rows = static_cast<std::uint32_t>(std::clamp<std::size_t>(
        Chunk::kFullBytes / std::max<std::size_t>(row_bytes, 1), 1, kMostRows));
  }
  window.to = position();
  return window;
}

Window PostgresReader::fetch(TableId id, const Chunk& keys, Chunk& out) {
  const TableMap& map = mapping_->table(id);
  table(id);
  Window window;
  window.from = position();
  if (!nobody_writes_) wait_for_commits_under_way();
  connection().exec("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  const std::size_t count = keys.changes().size();
  for (std::size_t begin = 0; begin < count; begin += kMostRows) {
    fetch_part(map, keys, begin, std::min<std::size_t>(begin + kMostRows, count), out);
  }
  connection_->exec("COMMIT");
  window.to = position();
  return window;
}

void PostgresReader::fetch_part(const TableMap& map, const Chunk& keys, std::size_t begin,
                                std::size_t end, Chunk& out) {
  const Table& known = tables_.at(map.id);
  std::vector<const ColumnMap*> columns;
  std::vector<Oid> types;
  std::string marks, names, matches;
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    const std::string n = std::to_string(i);
    columns.push_back(&map.columns[i]);
    types.push_back(array_oid(map.columns[i].type));
    marks += (i == 0 ? "$" : ", $") + std::to_string(i + 1);
    names += (i == 0 ? "k" : ", k") + n;
    matches += (i == 0 ? "t." : " AND t.") + quote_identifier(map.columns[i].name) + " = s.k" + n +
               known.casts[i];
  }
  arrays_.begin(columns);
  for (std::size_t i = begin; i < end; ++i) {
    arrays_.add_row(keys.row(keys.changes()[i]).first(map.key_width), keys);
  }
  arrays_.finish();
  const Result result = exec_binary(
      *connection_,
      "SELECT s.n, " + known.columns + " FROM unnest(" + marks + ") WITH ORDINALITY AS s (" +
          names + ", n) JOIN " + quoted_name(map) + " AS t ON " + matches +
          not_outlived(mapping_->bridge, map, "AND") + " ORDER BY s.n",
      types, arrays_.values(), arrays_.lengths(), arrays_.formats(), known.binary);
  std::vector<bool> found(end - begin, false);
  for (int row = 0; row < result.rows(); ++row) {
    const std::int64_t number =
        known.binary ? read_big_endian<std::int64_t>(result.text(row, 0)) : result.integer(row, 0);
    found[static_cast<std::size_t>(number) - 1] = true;
    take_row(map, known, result, row, 1, out);
  }
  for (std::size_t i = begin; i < end; ++i) {
    if (found[i - begin]) continue;
    copy_key(map.id, keys.row(keys.changes()[i]).first(map.key_width), keys, out);
  }
}

std::uint64_t PostgresReader::estimate(TableId id) {
  const TableMap& map = mapping_->table(id);
  const Result guess = connection().exec(
      "SELECT reltuples::bigint FROM pg_class WHERE oid = $1::regclass", {quoted_name(map)});
  if (guess.integer(0, 0) >= kCountBelow) return static_cast<std::uint64_t>(guess.integer(0, 0));
  const Result count = connection().exec("SELECT count(*) FROM " + quoted_name(map));
  return static_cast<std::uint64_t>(count.integer(0, 0));
}

std::unique_ptr<RowReader> open_postgres_reader(std::string conninfo,
                                                std::shared_ptr<const Mapping> mapping) {
  return std::make_unique<PostgresReader>(std::move(conninfo), std::move(mapping));
}

}  // namespace switchback
