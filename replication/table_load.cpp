#include "replication/table_load.h"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "replication/fence.h"
#include "replication/load_objects.h"
#include "replication/meta.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

// One commit per stretch. Two tables at a time, with three stretches each, stay well below the
// limit on memory.
constexpr std::size_t kStretchBytes = 2 << 20;

std::string column_list(const TableMap& map, const std::vector<std::uint16_t>& columns,
                        std::string_view pattern) {
  std::string out;
  for (const auto c : columns) {
    if (!out.empty()) out += ", ";
    out += fmt::format(fmt::runtime(pattern), quote_identifier(map.columns[c].name),
                       map.columns[c].type_name);
  }
  return out;
}

/// Hands items from one thread to one other.
template <class Item>
class Handover {
 public:
  void put(Item item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    changed_.notify_all();
  }
  /// Waits for one; empty once it was closed and nothing is left. Throws what it was closed with.
  std::optional<Item> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || !items_.empty(); });
    if (items_.empty() && error_) std::rethrow_exception(error_);
    if (items_.empty()) return std::nullopt;
    Item item = std::move(items_.front());
    items_.pop_front();
    return item;
  }
  void close(std::exception_ptr error = nullptr) {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    error_ = error;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::exception_ptr error_;
  bool closed_ = false;
};

}  // namespace

TableLoad::TableLoad(Connection& connection, const Mapping& mapping, std::string store,
                     LoadPart part, Memory& memory, std::atomic<std::uint64_t>& rows)
    : connection_(connection),
      mapping_(mapping),
      store_(std::move(store)),
      part_(std::move(part)),
      map_(mapping.table(part_.table)),
      columns_(copied_columns(map_)),
      memory_(memory),
      rows_(rows) {
  keyed_ = connection_
               .exec("SELECT 1 FROM pg_index WHERE indrelid = to_regclass($1) AND indisprimary",
                     {quoted_name(map_)})
               .rows() > 0;
  staged_ = keyed_;
  // Types that the codec does not know travel as text, which COPY's binary form does not cast.
  for (const auto c : columns_) staged_ = staged_ || map_.columns[c].type == PgType::kOtherText;
  const std::string target = staged_ ? "pg_temp.switchback_stage" : quoted_name(map_);
  copy_sql_ = fmt::format("COPY {} ({}) FROM STDIN (FORMAT binary)", target,
                          column_list(map_, columns_, "{}"));
  if (staged_) make_staging();
}

void TableLoad::make_staging() {
  std::string types, set;
  for (const auto c : columns_) {
    const ColumnMap& column = map_.columns[c];
    const bool text = column.type == PgType::kOtherText;
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", quote_identifier(column.name),
                         text ? "text" : column.type_name);
    if (c < map_.key_width) continue;
    set += fmt::format("{0}{1} = excluded.{1}", set.empty() ? "" : ", ",
                       quote_identifier(column.name));
  }
  connection_.exec(
      fmt::format("DROP TABLE IF EXISTS pg_temp.switchback_stage;"
                  "CREATE TEMP TABLE switchback_stage ({}) ON COMMIT DELETE ROWS",
                  types));
  const std::string key = column_list(map_, key_columns(map_), "{}");
  const std::string select = fmt::format(
      "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} {} FROM "
      "pg_temp.switchback_stage",
      quoted_name(map_), column_list(map_, columns_, "{}"),
      keyed_ ? fmt::format("DISTINCT ON ({})", key) : "", column_list(map_, columns_, "{}::{}"));
  // A row that was copied twice counts as it was read last.
  move_sql_ = !keyed_ ? select
                      : fmt::format("{} ORDER BY {}, ctid DESC ON CONFLICT ({}) DO {}", select, key,
                                    key, set.empty() ? "NOTHING" : "UPDATE SET " + set);
}

void TableLoad::read_stretch(RowReader& reader, ScanCursor& cursor, std::stop_token stop,
                             Stretch& out) const {
  out.used = 0;
  for (std::size_t bytes = 0; !cursor.done && bytes < kStretchBytes && !stop.stop_requested();) {
    if (out.used == out.memory.size()) out.memory.emplace_back();
    CopyPage& page = out.memory[out.used];
    Chunk& chunk = page.begin(map_, columns_);
    reader.scan(map_.id, cursor, chunk);
    if (chunk.empty()) continue;
    page.encode();
    ++out.used;
    bytes += page.bytes();
  }
  out.cursor = cursor;
}

void TableLoad::run(RowReader& reader, std::stop_token stop) {
  Handover<Stretch*> empty, filled;
  for (Stretch& stretch : memory_) empty.put(&stretch);
  std::jthread reading([&] {
    try {
      for (ScanCursor cursor = part_.cursor; !cursor.done && !stop.stop_requested();) {
        const auto stretch = empty.take();
        if (!stretch) break;
        read_stretch(reader, cursor, stop, **stretch);
        filled.put(*stretch);
      }
      filled.close();
    } catch (...) {
      filled.close(std::current_exception());
    }
  });
  try {
    while (const auto stretch = filled.take()) {
      write_stretch(**stretch);
      empty.put(*stretch);
    }
  } catch (...) {
    empty.close();
    if (connection_.alive() && connection_.in_transaction()) {
      PQclear(PQexec(connection_.raw(), "ROLLBACK"));
    }
    throw;
  }
}

void TableLoad::write_stretch(const Stretch& stretch) {
  connection_.exec(std::string("BEGIN; ") + kPassFence + "; SAVEPOINT switchback_copy");
  std::vector<std::string_view> rows;
  std::vector<Reject> rejects;
  std::uint64_t written = 0;
  for (const CopyPage& page : stretch.pages()) {
    if (page.rows() > 0) rows.push_back(page.slice(0, page.rows()));
    written += page.rows();
    rejects.insert(rejects.end(), page.rejects().begin(), page.rejects().end());
  }
  if (!rows.empty() && write_rows(rows)) {
    connection_.exec("ROLLBACK TO SAVEPOINT switchback_copy");
    written = 0;
    for (const CopyPage& page : stretch.pages()) written += write_isolating(page, rejects);
  }
  insert_rejects(connection_, mapping_, store_, rejects);
  part_.cursor = stretch.cursor;
  save_part(connection_, mapping_, store_, part_, written);
  failpoint("load.copy.commit.before");
  connection_.exec("COMMIT");
  failpoint("load.copy.commit.after");
  rows_ += written + rejects.size();
}

std::optional<CopyFailure> TableLoad::write_rows(std::span<const std::string_view> rows) {
  if (auto failure = copy_in(connection_, copy_sql_, rows)) return failure;
  try {
    if (staged_) {
      connection_.exec(move_sql_);
      connection_.exec("DELETE FROM pg_temp.switchback_stage");
    }
    // What a deferred constraint refuses is refused here, where its row can still be told.
    connection_.exec("SET CONSTRAINTS ALL IMMEDIATE");
    return std::nullopt;
  } catch (const Error& error) {
    if (!connection_.alive() || error.kind() != ErrorKind::kData) throw;
    return CopyFailure{error.message(), error.detail().sqlstate, std::nullopt};
  }
}

std::uint64_t TableLoad::write_isolating(const CopyPage& page, std::vector<Reject>& rejects) {
  std::uint64_t written = 0;
  std::vector<Part> parts;
  if (page.rows() > 0) parts.push_back({0, page.rows()});
  while (!parts.empty()) {
    const Part part = parts.back();
    parts.pop_back();
    connection_.exec("SAVEPOINT switchback_part");
    const std::string_view rows = page.slice(part.first, part.last);
    const auto failure = write_rows({&rows, 1});
    if (!failure) {
      connection_.exec("RELEASE SAVEPOINT switchback_part");
      written += part.last - part.first;
      continue;
    }
    connection_.exec("ROLLBACK TO SAVEPOINT switchback_part; RELEASE SAVEPOINT switchback_part");
    const std::size_t count = part.last - part.first;
    if (count == 1) {
      rejects.push_back(page.reject(part.first, failure->reason, failure->sqlstate));
    } else if (failure->row && *failure->row < count) {
      // The server names the row: what stands before it is good, what comes after is not known yet.
      const std::size_t bad = part.first + *failure->row;
      if (bad + 1 < part.last) parts.push_back({bad + 1, part.last});
      parts.push_back({bad, bad + 1});
      if (part.first < bad) parts.push_back({part.first, bad});
    } else {
      const std::size_t middle = part.first + count / 2;
      parts.push_back({middle, part.last});
      parts.push_back({part.first, middle});
    }
  }
  return written;
}

}  // namespace switchback
