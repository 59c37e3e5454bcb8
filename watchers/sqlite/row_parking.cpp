// How rows make room for each other: placeholders in unique columns, and keys that nobody has.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "watchers/sqlite/row_writer.h"

namespace switchback {
namespace {

using Outcome = Written::Outcome;

// A placeholder that is taken already is passed over; more than a few would be no accident.
constexpr int kMostTries = 16;

KeyForm text_form(std::uint64_t number) {
  return {SQLITE_TEXT, 0, 0, fmt::format("switchback parked {}", number)};
}

KeyForm number_form(std::uint64_t number) {
  return {SQLITE_INTEGER, INT64_MIN + static_cast<std::int64_t>(number), 0, {}};
}

/// A placeholder lasts for a part of one transaction: no CHECK needs to approve of it. Switching it
/// makes every statement be compiled anew, so it is the second try.
class WithoutChecks {
 public:
  explicit WithoutChecks(SQLite::Database& database) : database_(database) {
    database_.exec("PRAGMA ignore_check_constraints = ON");
  }
  ~WithoutChecks() { database_.tryExec("PRAGMA ignore_check_constraints = OFF"); }
  WithoutChecks(const WithoutChecks&) = delete;
  WithoutChecks& operator=(const WithoutChecks&) = delete;

 private:
  SQLite::Database& database_;
};

}  // namespace

void RowWriter::look_for_unique() {
  if (std::exchange(looked_for_unique_, true)) return;
  // An expression has no name, and the columns that a partial index's condition reads have no
  // place in it: either may be about any column.
  SQLite::Statement names(database_,
                          "SELECT term.name, list.partial FROM pragma_index_list(?) AS list, "
                          "pragma_index_info(list.name) AS term WHERE list.\"unique\"");
  names.bind(1, map_->old_table);
  while (names.executeStep()) {
    const bool any = names.getColumn(0).isNull() || names.getColumn(1).getInt() != 0;
    const std::string name = any ? "" : names.getColumn(0).getString();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (any || same_sqlite_name(map_->columns[i].old_name, name)) columns_[i].in_unique = true;
    }
  }
}

bool RowWriter::find(const ParkedRow& parked) {
  for (std::size_t i = 0; i < parked.key.size(); ++i) {
    bind_value(find_->get(), static_cast<int>(i) + 1, parked.key[i].view());
  }
  if (find_->step()) return true;
  find_->reset();
  return false;
}

bool RowWriter::park(const Chunk& chunk, const Change& change, const ParkedRow* parked_row) {
  look_for_unique();
  const auto row = chunk.row(change);
  if (change.op != Op::kUpsert || !find_row_of(chunk, change, parked_row)) return false;
  std::vector<std::size_t> columns;
  for (std::size_t i = map_->key_width; i < row.size(); ++i) {
    if (columns_[i].writable && columns_[i].in_unique && row[i].kind != Kind::kUnchanged &&
        !same_meaning(map_->columns[i], stored(i), row[i], chunk)) {
      columns.push_back(i);
    }
  }
  find_->reset();
  bool parked = false;
  for (const std::size_t column : columns) {
    if (!find_row_of(chunk, change, parked_row)) return parked;
    parked = put_placeholder(column) || parked;
  }
  return parked;
}

/// Into the row that find_ stands on and which it leaves.
bool RowWriter::put_value(std::size_t column, const StoredValue& value) {
  std::fill(mask_.begin(), mask_.end(), false);
  mask_[column] = true;
  Prepared& statement = statement_for(updates_, false);
  bind_place(statement, 2);
  bind_value(statement.get(), 1, value);
  return run(statement).outcome == Outcome::kDone;
}

/// NULL is unique against everything; where it is not allowed, a text or a number nobody has.
bool RowWriter::put_placeholder(std::size_t column) {
  const ResetAtEnd reset(*find_);
  ++placeholders_;
  if (put_value(column, {}) || put_value(column, text_form(placeholders_).view()) ||
      put_value(column, number_form(placeholders_).view())) {
    return true;
  }
  const WithoutChecks unchecked(database_);
  return put_value(column, text_form(placeholders_).view()) ||
         put_value(column, number_form(placeholders_).view());
}

std::optional<KeyForm> RowWriter::put_key_placeholder(std::size_t column) {
  const bool texts = has_text(kind_of(map_->columns[column].type));
  for (int i = 0; i < kMostTries; ++i) {
    ++placeholders_;
    KeyForm forms[] = {number_form(placeholders_), text_form(placeholders_)};
    if (texts) std::swap(forms[0], forms[1]);
    for (KeyForm& form : forms) {
      if (put_value(column, form.view())) return std::move(form);
    }
  }
  return std::nullopt;
}

std::optional<ParkedRow> RowWriter::displace(const Chunk& chunk, std::span<const Cell> key) {
  if (!find(key, chunk)) return std::nullopt;
  const ResetAtEnd reset(*find_);
  ParkedRow parked;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const StoredValue value = stored(i);
    parked.key.push_back({value.type, value.integer, value.real, std::string(value.bytes)});
  }
  const auto move = [&]() -> bool {
    for (std::size_t column = 0; column < parked.key.size(); ++column) {
      if (!columns_[column].writable) continue;
      auto form = put_key_placeholder(column);
      if (!form) continue;
      parked.key[column] = std::move(*form);
      return true;
    }
    return false;
  };
  if (move()) return parked;
  const WithoutChecks unchecked(database_);
  if (move()) return parked;
  return std::nullopt;
}

}  // namespace switchback
