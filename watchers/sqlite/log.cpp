#include "watchers/sqlite/log.h"

#include <fmt/format.h>

#include <string>

#include "state/base/advice.h"
#include "state/base/error.h"
#include "state/base/mutation.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

const std::string kAdvice =
    std::string("the database was restored, replaced, or lost commits in a power failure: ") +
    kDoctorFix;

// How many entries are read between two looks at the clock.
constexpr int kEntriesPerLook = 32;

std::string key_columns(std::uint16_t width) {
  std::string sql;
  for (int i = 1; i <= width; ++i) sql += fmt::format(", k{}", i);
  return sql;
}

std::string after_sql(std::uint16_t width) {
  return fmt::format("SELECT seq, nonce, tbl{} FROM main.{} WHERE seq >= ?1 ORDER BY seq",
                     key_columns(width), kLogTable);
}

std::string edge_sql(const char* order) {
  return fmt::format("SELECT seq, nonce FROM main.{} ORDER BY seq {} LIMIT 1", kLogTable, order);
}

std::int64_t number_at(const Prepared& statement, int column) {
  return sqlite3_column_int64(statement.get(), column);
}

std::optional<LogMark> mark_of(Prepared& statement) {
  const ResetAtEnd reset(statement);
  if (!statement.step()) return std::nullopt;
  return LogMark{number_at(statement, 0), number_at(statement, 1)};
}

bool same_nonce(std::int64_t nonce, const LogMark& mark) {
  return nonce == mark.nonce || mutated("nonce-ignored");
}

}  // namespace

Position to_position(std::uint64_t history, const LogMark& mark) {
  return {history, static_cast<std::uint64_t>(mark.seq), static_cast<std::uint64_t>(mark.nonce)};
}

LogMark to_mark(const Position& position) {
  return {static_cast<std::int64_t>(position.value), static_cast<std::int64_t>(position.proof)};
}

LogReader::LogReader(SQLite::Database& database, const Mapping& mapping, std::string store)
    : mapping_(mapping),
      store_(std::move(store)),
      history_(database,
               fmt::format("SELECT value FROM main.{} WHERE name = 'history'", kMetaTable)),
      install_(database, fmt::format("SELECT seq, nonce FROM main.{} WHERE tbl = -1 AND seq = "
                                     "(SELECT min(seq) FROM main.{})",
                                     kLogTable, kLogTable)),
      first_(database, edge_sql("ASC")),
      last_(database, edge_sql("DESC")),
      find_(database, fmt::format("SELECT nonce FROM main.{} WHERE seq = ?1", kLogTable)),
      after_(database, after_sql(mapping.widest_key())) {}

std::uint64_t LogReader::history() {
  const ResetAtEnd reset(history_);
  if (!history_.step()) {
    throw Error(ErrorKind::kHistory, Retry::kNever, "the log has no history number",
                {.object = store_, .next = kAdvice});
  }
  return static_cast<std::uint64_t>(number_at(history_, 0));
}

LogMark LogReader::install_entry() {
  const std::optional<LogMark> mark = mark_of(install_);
  if (!mark) {
    throw Error(ErrorKind::kHistory, Retry::kNever,
                "the log no longer begins with the entry made at install",
                {.object = store_, .next = kAdvice});
  }
  return *mark;
}

std::optional<LogMark> LogReader::first() {
  return mark_of(first_);
}

std::optional<LogMark> LogReader::last() {
  return mark_of(last_);
}

void LogReader::require(const LogMark& mark) {
  const ResetAtEnd reset(find_);
  sqlite3_bind_int64(find_.get(), 1, mark.seq);
  if (!find_.step()) forked(mark, "is gone");
  if (!same_nonce(number_at(find_, 0), mark)) forked(mark, "is not the one that was read");
}

bool LogReader::read_after(LogMark& mark, const Visit& visit, const std::function<bool()>& enough) {
  const ResetAtEnd reset(after_);
  sqlite3_bind_int64(after_.get(), 1, mark.seq);
  if (!after_.step() || number_at(after_, 0) != mark.seq) {
    forked(mark, "is gone");
  }
  if (!same_nonce(number_at(after_, 1), mark)) forked(mark, "is not the one that was read");
  for (int entries = 1; after_.step(); ++entries) {
    const std::int64_t seq = number_at(after_, 0);
    if (seq != mark.seq + 1) forked({mark.seq + 1, 0}, "is missing");
    const std::int64_t number = number_at(after_, 2);
    if (number >= 0) {
      const TableId table = table_of(number);
      key_.resize(mapping_.table(table).key_width);
      for (std::size_t i = 0; i < key_.size(); ++i) {
        key_[i] = StoredValue::of_column(after_.get(), static_cast<int>(i) + 3);
      }
      visit(table, key_);
    }
    mark = {seq, number_at(after_, 1)};
    if (entries % kEntriesPerLook == 0 && enough()) return false;
  }
  return true;
}

TableId LogReader::table_of(std::int64_t number) const {
  if (static_cast<std::uint64_t>(number) < mapping_.tables.size()) {
    const TableMap& map = mapping_.tables[static_cast<std::size_t>(number)];
    if (map.flows() && map.store == store_) return map.id;
  }
  throw Error(ErrorKind::kHistory, Retry::kNever,
              fmt::format("the log names table {}, which the configuration does not map", number),
              {.object = store_,
               .next = std::string("the configuration changed after the install: ") + kDoctorFix});
}

void LogReader::forked(const LogMark& mark, const char* what) const {
  throw Error(ErrorKind::kHistory, Retry::kNever,
              fmt::format("the log entry {} {}: this history has forked", mark.seq, what),
              {.object = store_, .next = kAdvice});
}

}  // namespace switchback
