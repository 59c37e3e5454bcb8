#include "watchers/sqlite/row_query.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>

#include "state/base/sql_quote.h"
#include "watchers/sqlite/value_text.h"

namespace switchback {
namespace {

/// Any stored value as text fit for a quarantine entry: "x'…'" for what is not UTF-8.
std::string readable(const StoredValue& value) {
  if (value.type == SQLITE_INTEGER) return std::to_string(value.integer);
  if (value.type == SQLITE_FLOAT) return real_text(value.real);
  if (value.type == SQLITE_TEXT && is_clean_text(value.bytes)) return std::string(value.bytes);
  std::string hex = "x'";
  for (const char c : value.bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex + "'";
}

void append_misfit(const TableMap& map, sqlite3_stmt* row, Chunk& out, int first_column,
                   std::string_view reason) {
  out.drop_row();
  std::string ignored;
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    const auto value = StoredValue::of_column(row, first_column + i);
    const auto cell = read_cell(map.columns[i], value, out, ignored);
    out.add(cell ? *cell : out.add_text(Kind::kText, readable(value)));
  }
  out.end_misfit(map.id, reason);
}

/// A form made by write_cell(), which never leaves out a value it was given.
KeyForm form_of(const StoredValue& value) {
  return {value.type, value.integer, value.real, std::string(value.bytes)};
}

KeyForm text_form(std::string text) {
  return {SQLITE_TEXT, 0, 0, std::move(text)};
}

KeyForm integer_form(std::int64_t value) {
  return {SQLITE_INTEGER, value, 0, {}};
}

KeyForm real_form(double value) {
  return {SQLITE_FLOAT, 0, value, {}};
}

void add_number_forms(std::string_view text, std::vector<KeyForm>& forms) {
  if (const auto integer = parse_integer(text)) forms.push_back(integer_form(*integer));
  if (text.empty() || text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return;
  if (const auto real = parse_real(text)) forms.push_back(real_form(*real));
}

void add_timestamp_forms(const ColumnMap& column, std::int64_t micros,
                         std::vector<KeyForm>& forms) {
  std::vector<Spelling> order = column.spellings;
  for (const Spelling spelling :
       {Spelling::kSqlite, Spelling::kIsoMsZ, Spelling::kIso, Spelling::kTwitter}) {
    if (std::find(order.begin(), order.end(), spelling) == order.end()) order.push_back(spelling);
  }
  for (const Spelling spelling : order) {
    const auto text = format_timestamp(spelling, micros);
    if (!text) continue;
    if (is_count(spelling)) add_number_forms(*text, forms);
    forms.push_back(text_form(*text));
  }
  // Python's isoformat(): no zone.
  if (auto text = imitate_iso("2000-01-01T00:00:00", micros)) forms.push_back(text_form(*text));
}

void add_uuid_forms(std::string_view text, std::vector<KeyForm>& forms) {
  std::string bare(text);
  std::erase(bare, '-');
  std::string bytes;
  for (std::size_t i = 0; i + 1 < bare.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(bare.substr(i, 2), nullptr, 16));
  }
  const auto upper = [](std::string lower) {
    for (char& c : lower) {
      if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
    }
    return lower;
  };
  forms.push_back({SQLITE_BLOB, 0, 0, std::move(bytes)});
  forms.push_back(text_form(upper(std::string(text))));
  forms.push_back(text_form(bare));
  forms.push_back(text_form(upper(bare)));
}

}  // namespace

StoredValue KeyForm::view() const {
  return {type, integer, real, bytes};
}

std::vector<KeyForm> key_forms(const ColumnMap& column, const Cell& cell, const Chunk& chunk) {
  std::vector<KeyForm> forms;
  switch (cell.kind) {
    case Kind::kNull:
    case Kind::kUnchanged:
      return forms;
    case Kind::kTimestamp:
      add_timestamp_forms(column, cell.i, forms);
      return forms;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kReal:
    case Kind::kDecimal:
    case Kind::kText:
    case Kind::kBytes:
    case Kind::kJson:
    case Kind::kDate:
    case Kind::kUuid:
      break;
  }
  std::string scratch;
  forms.push_back(form_of(write_cell(column, cell, chunk, nullptr, scratch)));
  switch (cell.kind) {
    case Kind::kBool:
      for (const char* word : cell.i != 0 ? std::array{"true", "t", "1", "TRUE", "T", "True"}
                                          : std::array{"false", "f", "0", "FALSE", "F", "False"}) {
        forms.push_back(text_form(word));
      }
      break;
    case Kind::kInt:
      forms.push_back(text_form(std::to_string(cell.i)));
      break;
    case Kind::kReal:
      forms.push_back(text_form(shortest_text(cell.d)));
      break;
    case Kind::kDecimal:
      forms.push_back(text_form(std::string(chunk.text(cell))));
      add_number_forms(chunk.text(cell), forms);
      break;
    case Kind::kText:
      add_number_forms(chunk.text(cell), forms);
      break;
    case Kind::kBytes:
      forms.push_back(text_form(std::string(chunk.text(cell))));
      break;
    case Kind::kDate:
      if (cell.i != kPlusInfinity && cell.i != kMinusInfinity) {
        add_timestamp_forms(column, cell.i * kMicrosPerDay, forms);
      }
      break;
    case Kind::kUuid:
      add_uuid_forms(chunk.text(cell), forms);
      break;
    case Kind::kJson:
    case Kind::kTimestamp:
    case Kind::kNull:
    case Kind::kUnchanged:
      break;
  }
  return forms;
}

bool same_sqlite_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && !a.empty() &&
         sqlite3_strnicmp(a.data(), b.data(), static_cast<int>(a.size())) == 0;
}

std::string column_list(const TableMap& map) {
  std::string out;
  for (const ColumnMap& column : map.columns) {
    if (!out.empty()) out += ", ";
    out += column.old_name.empty() ? "NULL" : quote_identifier(column.old_name);
  }
  return out;
}

std::string key_condition(const TableMap& map, int first) {
  std::string out;
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    const std::string name = quote_identifier(map.columns[i].old_name);
    out += fmt::format("{0}{1} = ?{2} AND {1} COLLATE BINARY = ?{2}", i == 0 ? "" : " AND ", name,
                       first + i);
  }
  return out;
}

void append_row(const TableMap& map, sqlite3_stmt* row, Chunk& out, int first_column) {
  thread_local std::string why;
  int at = first_column;
  for (const ColumnMap& column : map.columns) {
    const StoredValue value = StoredValue::of_column(row, at);
    const bool in_key = at - first_column < map.key_width;
    if (in_key && value.type == SQLITE_NULL) {
      append_misfit(map, row, out, first_column, column.name + ": NULL in the key");
      return;
    }
    const auto cell = read_cell(column, value, out, why);
    if (!cell) {
      append_misfit(map, row, out, first_column, why);
      return;
    }
    out.add(*cell);
    ++at;
  }
  out.end_upsert(map.id);
}

bool append_key(const TableMap& map, std::span<const StoredValue> key, Chunk& out,
                std::string& why) {
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    if (key[i].type == SQLITE_NULL) {
      why = map.columns[i].name + ": NULL in the key";
      out.drop_row();
      return false;
    }
    const auto cell = read_cell(map.columns[i], key[i], out, why);
    if (!cell) {
      out.drop_row();
      return false;
    }
    out.add(*cell);
  }
  return true;
}

RowQuery::RowQuery(SQLite::Database& database, const TableMap& map)
    : map_(&map),
      statement_(database, fmt::format("SELECT {} FROM main.{} WHERE {}", column_list(map),
                                       quote_identifier(map.old_table), key_condition(map))) {}

void RowQuery::bind(std::span<const StoredValue> key) {
  for (std::uint16_t i = 0; i < map_->key_width; ++i) bind_value(statement_.get(), i + 1, key[i]);
}

bool RowQuery::append_current(std::span<const StoredValue> key, Chunk& out) {
  bind(key);
  const ResetAtEnd reset(statement_);
  if (!statement_.step()) return false;
  append_row(*map_, statement_.get(), out);
  return true;
}

/// SQLite converts what it compares ('007' finds the 7 of a numeric column), so a row that was
/// found may still be another key's.
bool RowQuery::row_has_key(std::span<const Cell> key, const Chunk& keys) const {
  for (std::uint16_t i = 0; i < map_->key_width; ++i) {
    const auto stored = StoredValue::of_column(statement_.get(), i);
    if (!same_meaning(map_->columns[i], stored, key[i], keys)) return false;
  }
  return true;
}

bool RowQuery::append_current(std::span<const Cell> key, const Chunk& keys, Chunk& out) {
  std::vector<std::vector<KeyForm>> forms(map_->key_width);
  for (std::uint16_t i = 0; i < map_->key_width; ++i) {
    forms[i] = key_forms(map_->columns[i], key[i], keys);
    if (forms[i].empty()) return false;
  }
  std::vector<std::size_t> choice(map_->key_width, 0);
  std::vector<StoredValue> values(map_->key_width);
  for (;;) {
    for (std::size_t i = 0; i < choice.size(); ++i) values[i] = forms[i][choice[i]].view();
    bind(values);
    const ResetAtEnd reset(statement_);
    while (statement_.step()) {
      if (!row_has_key(key, keys)) continue;
      append_row(*map_, statement_.get(), out);
      return true;
    }
    std::size_t place = 0;
    while (place < choice.size() && ++choice[place] == forms[place].size()) choice[place++] = 0;
    if (place == choice.size()) return false;
  }
}

}  // namespace switchback
