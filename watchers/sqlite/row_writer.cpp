#include "watchers/sqlite/row_writer.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "state/base/error.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

using Outcome = Written::Outcome;

// Sets of columns that one table's changes touch; real applications have a handful.
constexpr std::size_t kMostStatements = 64;

/// Where the column's affinity makes every spelling of a key one stored value.
bool has_one_form(Kind kind, Affinity affinity) {
  if (kind == Kind::kInt) return affinity != Affinity::kNone;
  return kind == Kind::kText && affinity == Affinity::kText;
}

}  // namespace

RowWriter::RowWriter(SQLite::Database& database, const TableMap& map)
    : database_(database),
      map_(&map),
      columns_(map.columns.size()),
      mask_(map.columns.size()),
      probe_(database) {
  look_at_columns();
  const std::string table = quote_identifier(map.old_table);
  find_.emplace(database_,
                fmt::format("SELECT {}{} FROM {} WHERE {}", column_list(map),
                            rowid_.empty() ? "" : ", " + rowid_, table, key_condition(map)));
  delete_.emplace(database_, fmt::format("DELETE FROM {} WHERE {}", table, place_condition(1)));
}

bool RowWriter::is_strict() {
  SQLite::Statement query(database_,
                          "SELECT strict FROM pragma_table_list(?) WHERE schema = 'main'");
  query.bind(1, map_->old_table);
  return query.executeStep() && query.getColumn(0).getInt() != 0;
}

void RowWriter::look_at_columns() {
  std::array<std::string_view, 3> rowid_names = {"_rowid_", "rowid", "oid"};
  const bool strict = is_strict();
  SQLite::Statement columns(database_, "SELECT name, type, hidden FROM pragma_table_xinfo(?)");
  columns.bind(1, map_->old_table);
  while (columns.executeStep()) {
    const std::string name = columns.getColumn(0).getString();
    for (auto& rowid : rowid_names) {
      if (same_sqlite_name(rowid, name)) rowid = {};
    }
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (!same_sqlite_name(map_->columns[i].old_name, name)) continue;
      columns_[i].writable = columns.getColumn(2).getInt() == 0;
      columns_[i].affinity = affinity_of(columns.getColumn(1).getString(), strict);
      columns_[i].one_form = has_one_form(kind_of(map_->columns[i].type), columns_[i].affinity);
    }
  }
  SQLite::Statement kind(database_, "SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'");
  kind.bind(1, map_->old_table);
  if (!kind.executeStep()) {
    throw Error(ErrorKind::kData, Retry::kNever, "the mapped table is not there any more",
                {.object = map_->old_table, .next = "run `switchback check`"});
  }
  if (kind.getColumn(0).getInt() != 0) return;  // WITHOUT ROWID
  for (const auto rowid : rowid_names) {
    if (rowid_.empty()) rowid_ = rowid;
  }
}

/// The WHERE clause for the row that find() stands on.
std::string RowWriter::place_condition(int first) const {
  return rowid_.empty() ? key_condition(*map_, first) : fmt::format("{} = ?{}", rowid_, first);
}

void RowWriter::bind_place(Prepared& statement, int first) {
  if (!rowid_.empty()) {
    const int column = static_cast<int>(columns_.size());
    sqlite3_bind_int64(statement.get(), first, sqlite3_column_int64(find_->get(), column));
    return;
  }
  for (int i = 0; i < map_->key_width; ++i) {
    bind_value(statement.get(), first + i, stored(static_cast<std::size_t>(i)));
  }
}

StoredValue RowWriter::stored(std::size_t column) const {
  return StoredValue::of_column(find_->get(), static_cast<int>(column));
}

/// True: find_ stands on the row, until it is reset.
bool RowWriter::find(std::span<const Cell> key, const Chunk& chunk) {
  bool one_form = true;
  for (std::size_t i = 0; i < key.size(); ++i) one_form = one_form && columns_[i].one_form;
  if (!one_form) return find_in_any_form(key, chunk);
  for (std::size_t i = 0; i < key.size(); ++i) {
    bind_value(find_->get(), static_cast<int>(i) + 1,
               write_cell(map_->columns[i], key[i], chunk, nullptr, scratch_));
  }
  if (find_->step()) return true;
  find_->reset();
  return false;
}

/// SQLite converts what it compares: '007' finds the 7 of a numeric column.
bool RowWriter::stands_on(std::span<const Cell> key, const Chunk& chunk) const {
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (!same_meaning(map_->columns[i], stored(i), key[i], chunk)) return false;
  }
  return true;
}

/// Tries every combination of the stored forms the key's columns may have.
bool RowWriter::find_in_any_form(std::span<const Cell> key, const Chunk& chunk) {
  std::vector<std::vector<KeyForm>> forms;
  for (std::size_t i = 0; i < key.size(); ++i) {
    forms.push_back(key_forms(map_->columns[i], key[i], chunk));
  }
  std::vector<std::size_t> choice(key.size(), 0);
  for (;;) {
    for (std::size_t i = 0; i < key.size(); ++i) {
      bind_value(find_->get(), static_cast<int>(i) + 1, forms[i].at(choice[i]).view());
    }
    while (find_->step()) {
      if (stands_on(key, chunk)) return true;
    }
    find_->reset();
    std::size_t turn = 0;
    while (turn < key.size() && ++choice[turn] == forms[turn].size()) choice[turn++] = 0;
    if (turn == key.size()) return false;
  }
}

bool RowWriter::has(const Chunk& chunk, std::span<const Cell> key) {
  const bool found = find(key, chunk);
  find_->reset();
  return found;
}

bool RowWriter::find_row_of(const Chunk& chunk, const Change& change, const ParkedRow* parked) {
  if (parked != nullptr) return find(*parked);
  const bool renamed = change.old_key != Change::kNone;
  // A repeated rename finds the row under its new key already.
  return (renamed && find(chunk.old_key(change, map_->key_width), chunk)) ||
         find(chunk.row(change).first(map_->key_width), chunk);
}

Written RowWriter::upsert(const Chunk& chunk, const Change& change, const ParkedRow* parked) {
  const auto row = chunk.row(change);
  try {
    const bool found = find_row_of(chunk, change, parked);
    const ResetAtEnd reset(*find_);
    return found ? update(row, chunk) : insert(row, chunk);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;
    return {Outcome::kRefused, error.what()};
  }
}

Written RowWriter::remove(const Chunk& chunk, const Change& change, const ParkedRow* parked) {
  if (!find_row_of(chunk, change, parked)) return {};
  const ResetAtEnd reset(*find_);
  bind_place(*delete_, 1);
  find_->reset();
  return run(*delete_);
}

void RowWriter::truncate() {
  database_.exec("DELETE FROM " + quote_identifier(map_->old_table));
}

bool RowWriter::is_partial(std::span<const Cell> row) const {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!columns_[i].writable || map_->columns[i].generated) continue;
    if (row[i].kind == Kind::kUnchanged) return true;
  }
  return false;
}

Written RowWriter::insert(std::span<const Cell> row, const Chunk& chunk) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    mask_[i] = columns_[i].writable && row[i].kind != Kind::kUnchanged;
    if (columns_[i].writable && !mask_[i] && !map_->columns[i].generated) {
      return {Outcome::kMissing, "the row is not there, and PostgreSQL sent no value for column " +
                                     map_->columns[i].name};
    }
  }
  Prepared& statement = statement_for(inserts_, true);
  int parameter = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!mask_[i]) continue;
    bind_value(
        statement.get(), ++parameter,
        probe_.fit(map_->columns[i], columns_[i].affinity, row[i], chunk, nullptr, scratch_));
  }
  return run(statement);
}

Written RowWriter::update(std::span<const Cell> row, const Chunk& chunk) {
  bool differs = false;
  for (std::size_t i = 0; i < row.size(); ++i) {
    mask_[i] = columns_[i].writable && row[i].kind != Kind::kUnchanged &&
               !same_meaning(map_->columns[i], stored(i), row[i], chunk);
    differs = differs || mask_[i];
  }
  if (!differs) return {};
  Prepared& statement = statement_for(updates_, false);
  int parameter = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!mask_[i]) continue;
    const StoredValue previous = stored(i);
    bind_value(
        statement.get(), ++parameter,
        probe_.fit(map_->columns[i], columns_[i].affinity, row[i], chunk, &previous, scratch_));
  }
  bind_place(statement, parameter + 1);
  find_->reset();
  return run(statement);
}

/// The INSERT or UPDATE of the columns in mask_. OR ABORT: a table may declare ON CONFLICT REPLACE,
/// which would silently delete other rows.
Prepared& RowWriter::statement_for(std::unordered_map<Mask, Prepared>& cache, bool inserting) {
  if (const auto known = cache.find(mask_); known != cache.end()) return known->second;
  if (cache.size() >= kMostStatements) cache.clear();
  std::string names;
  std::string values;
  std::string settings;
  int parameter = 0;
  for (std::size_t i = 0; i < mask_.size(); ++i) {
    if (!mask_[i]) continue;
    const std::string name = quote_identifier(map_->columns[i].old_name);
    const char* comma = parameter++ == 0 ? "" : ", ";
    names += comma + name;
    values += fmt::format("{}?{}", comma, parameter);
    settings += fmt::format("{}{} = ?{}", comma, name, parameter);
  }
  const std::string table = quote_identifier(map_->old_table);
  const std::string sql =
      inserting ? fmt::format("INSERT OR ABORT INTO {} ({}) VALUES ({})", table, names, values)
                : fmt::format("UPDATE OR ABORT {} SET {} WHERE {}", table, settings,
                              place_condition(parameter + 1));
  return cache.emplace(mask_, Prepared(database_, sql)).first->second;
}

Written RowWriter::run(Prepared& statement) {
  const int code = sqlite3_step(statement.get()) & 0xff;
  if (code == SQLITE_DONE) {
    statement.reset();
    return {};
  }
  const SQLite::Exception error(database_.getHandle(), code);
  const int extended = error.getExtendedErrorCode();
  statement.reset();
  switch (code) {
    case SQLITE_CONSTRAINT: {
      const bool unique = extended == SQLITE_CONSTRAINT_UNIQUE ||
                          extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
                          extended == SQLITE_CONSTRAINT_ROWID;
      return {unique ? Outcome::kConflict : Outcome::kRefused, error.what()};
    }
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
      return {Outcome::kRefused, error.what()};
    default:
      throw error;
  }
}

}  // namespace switchback
