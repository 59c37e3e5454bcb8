#include "watchers/sqlite/affinity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "state/base/error.h"
#include "watchers/sqlite/value_text.h"

namespace switchback {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// A whole text that SQLite reads as a number, blanks around it included.
bool is_number(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return false;
  text = text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
  const auto digits = [&] {
    const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
    const auto count = static_cast<std::size_t>(end - text.begin());
    text.remove_prefix(count);
    return count;
  };
  const auto take = [&](std::string_view any_of) {
    if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
  };
  take("+-");
  std::size_t count = digits();
  if (take(".")) count += digits();
  if (count == 0) return false;
  if (!take("eE")) return text.empty();
  take("+-");
  return digits() != 0 && text.empty();
}

}  // namespace

Affinity affinity_of(std::string_view declared_type, bool strict) {
  std::string type(declared_type);
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto has = [&](const char* word) { return type.find(word) != type.npos; };
  if (strict && type == "ANY") return Affinity::kNone;
  if (has("INT")) return Affinity::kInteger;
  if (has("CHAR") || has("CLOB") || has("TEXT")) return Affinity::kText;
  if (has("BLOB") || type.empty()) return Affinity::kNone;
  if (has("REAL") || has("FLOA") || has("DOUB")) return Affinity::kReal;
  return Affinity::kNumeric;
}

std::string_view to_string(Affinity affinity) noexcept {
  switch (affinity) {
    case Affinity::kNone:
      return "no";
    case Affinity::kText:
      return "TEXT";
    case Affinity::kNumeric:
      return "NUMERIC";
    case Affinity::kInteger:
      return "INTEGER";
    case Affinity::kReal:
      return "REAL";
  }
  return "";
}

bool may_convert(Affinity affinity, const StoredValue& value) {
  switch (affinity) {
    case Affinity::kNone:
      return false;
    case Affinity::kText:
      return value.type == SQLITE_INTEGER || value.type == SQLITE_FLOAT;
    case Affinity::kNumeric:
    case Affinity::kInteger:
      if (value.type == SQLITE_FLOAT) return exact_integer(value.real).has_value();
      return value.type == SQLITE_TEXT && is_number(value.bytes);
    case Affinity::kReal:
      if (value.type == SQLITE_INTEGER) return true;
      return value.type == SQLITE_TEXT && is_number(value.bytes);
  }
  return false;
}

StoredValue AffinityProbe::stored(Affinity affinity, const StoredValue& value,
                                  std::string& scratch) {
  if (!may_convert(affinity, value)) return value;
  switch (affinity) {
    case Affinity::kNone:
      break;
    case Affinity::kText:
      return cast(to_text_, "TEXT", value, scratch);
    case Affinity::kReal:
      return cast(to_real_, "REAL", value, scratch);
    case Affinity::kNumeric:
    case Affinity::kInteger: {
      // CAST leaves a REAL alone; a column does not if it is an integer.
      const StoredValue number =
          value.type == SQLITE_TEXT ? cast(to_numeric_, "NUMERIC", value, scratch) : value;
      if (number.type != SQLITE_FLOAT) return number;
      const auto integer = exact_integer(number.real);
      if (!integer || *integer == INT64_MIN) return number;
      StoredValue out;
      out.type = SQLITE_INTEGER;
      out.integer = *integer;
      return out;
    }
  }
  return value;
}

StoredValue AffinityProbe::fit(const ColumnMap& column, Affinity affinity, const Cell& cell,
                               const Chunk& chunk, const StoredValue* previous,
                               std::string& scratch) {
  // In the form that was there, else in the column's own, else as text: SQLite would cut the digits
  // of a real that it makes a text.
  StoredValue a_text;
  a_text.type = SQLITE_TEXT;
  a_text.bytes = "0";
  StoredValue made;
  for (const StoredValue* like : {previous, static_cast<const StoredValue*>(nullptr),
                                  static_cast<const StoredValue*>(&a_text)}) {
    const StoredValue value = write_cell(column, cell, chunk, like, scratch);
    if (!may_convert(affinity, value)) return value;
    made = stored(affinity, value, converted_);
    if (same_meaning(column, made, cell, chunk)) return value;
  }
  throw Error(ErrorKind::kData, Retry::kNever,
              fmt::format("{}: SQLite would make {} of it, by the column's {} affinity",
                          column.name, describe(made), to_string(affinity)),
              {.object = column.name});
}

StoredValue AffinityProbe::cast(std::optional<Prepared>& statement, const char* type,
                                const StoredValue& value, std::string& scratch) {
  if (!statement) statement.emplace(database_, std::string("SELECT CAST(?1 AS ") + type + ")");
  const ResetAtEnd reset(*statement);
  bind_value(statement->get(), 1, value);
  statement->step();
  StoredValue out = StoredValue::of_column(statement->get(), 0);
  scratch = out.bytes;
  out.bytes = scratch;
  return out;
}

}  // namespace switchback
