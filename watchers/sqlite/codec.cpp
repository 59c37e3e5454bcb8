// From canonical cells to what SQLite stores, and whether that is needed at all. The way from
// SQLite is in read_value.cpp.
#include "watchers/sqlite/codec.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>

#include "state/base/decimal.h"
#include "state/base/error.h"
#include "state/base/json_meaning.h"
#include "watchers/sqlite/spelling.h"
#include "watchers/sqlite/value_text.h"

namespace switchback {
namespace {

StoredValue integer_value(std::int64_t value) {
  StoredValue out;
  out.type = SQLITE_INTEGER;
  out.integer = value;
  return out;
}

StoredValue real_value(double value) {
  StoredValue out;
  out.type = SQLITE_FLOAT;
  out.real = value;
  return out;
}

StoredValue bytes_value(int type, std::string text, std::string& scratch) {
  scratch = std::move(text);
  StoredValue out;
  out.type = type;
  out.bytes = scratch;
  return out;
}

StoredValue text_value(std::string text, std::string& scratch) {
  return bytes_value(SQLITE_TEXT, std::move(text), scratch);
}

int previous_type(const StoredValue* previous) {
  return previous == nullptr ? SQLITE_NULL : previous->type;
}

/// The other or same word of the pair that `like` belongs to: TRUE/FALSE, t/f, 1/0.
std::string bool_word(bool value, std::string_view like) {
  const bool upper = like.front() >= 'A' && like.front() <= 'Z';
  if (like.front() == '0' || like.front() == '1') return value ? "1" : "0";
  if (like.size() == 1) return value ? (upper ? "T" : "t") : (upper ? "F" : "f");
  if (!upper) return value ? "true" : "false";
  const bool shouted = like[1] >= 'A' && like[1] <= 'Z';
  if (shouted) return value ? "TRUE" : "FALSE";
  return value ? "True" : "False";
}

StoredValue write_bool(const Cell& cell, const StoredValue* previous, std::string& scratch) {
  const bool value = cell.i != 0;
  switch (previous_type(previous)) {
    case SQLITE_TEXT:
      if (parse_bool(previous->bytes)) {
        return text_value(bool_word(value, previous->bytes), scratch);
      }
      break;
    case SQLITE_FLOAT:
      return real_value(value ? 1 : 0);
    default:
      break;
  }
  return integer_value(value ? 1 : 0);
}

StoredValue write_int(const Cell& cell, const StoredValue* previous, std::string& scratch) {
  const int type = previous_type(previous);
  if (type == SQLITE_TEXT) return text_value(std::to_string(cell.i), scratch);
  if (type == SQLITE_FLOAT) {
    if (const auto real = exact_real(cell.i)) return real_value(*real);
  }
  return integer_value(cell.i);
}

StoredValue write_real(const ColumnMap& column, const Cell& cell, const StoredValue* previous,
                       std::string& scratch) {
  if (std::isnan(cell.d)) return text_value("NaN", scratch);  // SQLite would store NULL
  double value = cell.d;
  if (column.type == PgType::kFloat4 && std::isfinite(value)) {
    value = std::strtod(shortest_text(static_cast<float>(value)).c_str(), nullptr);
  }
  const int type = previous_type(previous);
  const bool negative_zero = value == 0 && std::signbit(value);
  if (type == SQLITE_INTEGER && !negative_zero) {
    if (const auto integer = exact_integer(value)) return integer_value(*integer);
  }
  if (type == SQLITE_TEXT) {
    if (std::isinf(value)) return text_value(value > 0 ? "Infinity" : "-Infinity", scratch);
    return text_value(shortest_text(value), scratch);
  }
  return real_value(value);
}

StoredValue write_decimal(std::string_view text, const StoredValue* previous,
                          std::string& scratch) {
  const auto number = parse_decimal(text);
  const int type = previous_type(previous);
  if (number && type == SQLITE_FLOAT) {
    const auto real = parse_real(text);
    if (real && parse_decimal(shortest_text(*real)) == number) return real_value(*real);
  }
  if (number && number->integral() && (type == SQLITE_INTEGER || type == SQLITE_NULL)) {
    if (const auto integer = parse_integer(to_plain(*number))) return integer_value(*integer);
  }
  return text_value(std::string(text), scratch);
}

StoredValue write_text(std::string_view text, const StoredValue* previous, std::string& scratch) {
  const int type = previous_type(previous);
  if (type == SQLITE_INTEGER) {
    if (const auto integer = parse_integer(text)) return integer_value(*integer);
  }
  if (type == SQLITE_FLOAT) {
    const auto real = parse_real(text);
    if (real && std::isfinite(*real) && real_text(*real) == text) return real_value(*real);
  }
  return text_value(std::string(text), scratch);
}

StoredValue write_bytes(std::string_view bytes, const StoredValue* previous, std::string& scratch) {
  const bool as_text = previous_type(previous) == SQLITE_TEXT &&
                       simdjson::validate_utf8(bytes.data(), bytes.size()) &&
                       bytes.find('\0') == std::string_view::npos;
  return bytes_value(as_text ? SQLITE_TEXT : SQLITE_BLOB, std::string(bytes), scratch);
}

/// A timestamp as a count: INTEGER where it divides, REAL where that is exact and was used before.
std::optional<StoredValue> write_count(Spelling spelling, std::int64_t micros,
                                       const StoredValue* previous) {
  if (micros == kPlusInfinity || micros == kMinusInfinity) return std::nullopt;
  const std::int64_t unit = spelling == Spelling::kUnix ? 1'000'000 : 1000;
  if (previous_type(previous) == SQLITE_FLOAT) {
    const double real = static_cast<double>(micros) / static_cast<double>(unit);
    const auto back = exact_integer(std::round(real * static_cast<double>(unit)));
    if (back == micros) return real_value(real);
  }
  if (micros % unit != 0) return std::nullopt;
  return integer_value(micros / unit);
}

/// The spelling `previous` has in the eyes of read_cell(), if any.
std::optional<Spelling> spelling_of(const ColumnMap& column, const StoredValue* previous) {
  const int type = previous_type(previous);
  if (type == SQLITE_TEXT) {
    const auto seen = recognise_for(column, previous->bytes);
    return seen ? std::optional(seen->spelling) : std::nullopt;
  }
  if (type != SQLITE_INTEGER && type != SQLITE_FLOAT) return std::nullopt;
  const auto at = std::find_if(column.spellings.begin(), column.spellings.end(), is_count);
  return at == column.spellings.end() ? std::nullopt : std::optional(*at);
}

std::optional<StoredValue> write_as(const ColumnMap& column, Spelling spelling, std::int64_t micros,
                                    const StoredValue* previous, std::string& scratch) {
  const bool was_text = previous_type(previous) == SQLITE_TEXT;
  std::optional<std::string> text;
  if (is_count(spelling) && !was_text) return write_count(spelling, micros, previous);
  if (spelling == Spelling::kIso && was_text) text = imitate_iso(previous->bytes, micros);
  if (!text) text = format_timestamp(spelling, micros);
  // A text that the column's own list would read as something else is no way to write it.
  if (!text) return std::nullopt;
  const auto seen = recognise_for(column, *text);
  if (!seen || seen->micros != micros) return std::nullopt;
  return text_value(std::move(*text), scratch);
}

[[noreturn]] void throw_inexpressible(const ColumnMap& column, std::string_view what) {
  throw Error(ErrorKind::kData, Retry::kNever,
              std::string(what) + " that SQLite's date texts have no room for (year 0 to 9999)",
              {.object = column.name});
}

StoredValue write_timestamp(const ColumnMap& column, const Cell& cell, const StoredValue* previous,
                            std::string& scratch) {
  if (const auto spelling = spelling_of(column, previous)) {
    if (auto value = write_as(column, *spelling, cell.i, previous, scratch)) return *value;
  }
  for (const Spelling spelling : column.spellings) {
    if (auto value = write_as(column, spelling, cell.i, nullptr, scratch)) return *value;
  }
  auto value = write_as(column, Spelling::kSqlite, cell.i, nullptr, scratch);
  if (!value) throw_inexpressible(column, "a timestamp");
  return *value;
}

StoredValue write_date(const ColumnMap& column, const Cell& cell, const StoredValue* previous,
                       std::string& scratch) {
  auto text = format_date(cell.i);
  if (!text) throw_inexpressible(column, "a date");
  const bool timed = previous_type(previous) == SQLITE_TEXT && !parse_date(previous->bytes) &&
                     cell.i != kPlusInfinity && cell.i != kMinusInfinity;
  if (timed) {
    if (const auto spelling = spelling_of(column, previous)) {
      auto value = write_as(column, *spelling, cell.i * kMicrosPerDay, previous, scratch);
      if (value) return *value;
    }
  }
  return text_value(std::move(*text), scratch);
}

StoredValue write_uuid(std::string_view text, const StoredValue* previous, std::string& scratch) {
  std::string out(text);
  if (previous_type(previous) == SQLITE_BLOB && previous->bytes.size() == 16) {
    std::erase(out, '-');
    std::string bytes;
    for (std::size_t i = 0; i + 1 < out.size(); i += 2) {
      bytes += static_cast<char>(std::stoi(out.substr(i, 2), nullptr, 16));
    }
    return bytes_value(SQLITE_BLOB, std::move(bytes), scratch);
  }
  if (previous_type(previous) == SQLITE_TEXT && !canonical_uuid(previous->bytes, false).empty()) {
    if (previous->bytes.size() == 32) std::erase(out, '-');
    const auto is_upper = [](char c) { return c >= 'A' && c <= 'F'; };
    if (std::any_of(previous->bytes.begin(), previous->bytes.end(), is_upper)) {
      std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
      });
    }
  }
  return text_value(std::move(out), scratch);
}

}  // namespace

StoredValue StoredValue::of_column(sqlite3_stmt* statement, int column) {
  StoredValue out;
  out.type = sqlite3_column_type(statement, column);
  const auto view = [&](const void* data) {
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
    return size == 0 ? std::string_view("")
                     : std::string_view(static_cast<const char*>(data), size);
  };
  switch (out.type) {
    case SQLITE_INTEGER:
      out.integer = sqlite3_column_int64(statement, column);
      break;
    case SQLITE_FLOAT:
      out.real = sqlite3_column_double(statement, column);
      break;
    case SQLITE_TEXT:
      out.bytes = view(sqlite3_column_text(statement, column));
      break;
    case SQLITE_BLOB:
      out.bytes = view(sqlite3_column_blob(statement, column));
      break;
    default:
      break;
  }
  return out;
}

bool same_meaning(const ColumnMap& column, const StoredValue& stored, const Cell& cell,
                  const Chunk& chunk) {
  if (cell.kind == Kind::kUnchanged) return true;
  if (stored.type == SQLITE_NULL || cell.kind == Kind::kNull) {
    return stored.type == SQLITE_NULL && cell.kind == Kind::kNull;
  }
  const bool text_like = cell.kind == Kind::kText || cell.kind == Kind::kJson;
  if (stored.type == SQLITE_TEXT && text_like) {
    if (stored.bytes == chunk.text(cell)) return true;
    if (cell.kind == Kind::kJson) return json_same(stored.bytes, chunk.text(cell));
    if (column.type != PgType::kChar) return false;
  }
  Chunk own;
  std::string why;
  const auto meaning = read_cell(column, stored, own, why);
  return meaning && cells_same(column, *meaning, own, cell, chunk);
}

StoredValue write_cell(const ColumnMap& column, const Cell& cell, const Chunk& chunk,
                       const StoredValue* previous, std::string& scratch) {
  switch (cell.kind) {
    case Kind::kNull:
      return {};
    case Kind::kUnchanged:
      break;
    case Kind::kBool:
      return write_bool(cell, previous, scratch);
    case Kind::kInt:
      return write_int(cell, previous, scratch);
    case Kind::kReal:
      return write_real(column, cell, previous, scratch);
    case Kind::kDecimal:
      return write_decimal(chunk.text(cell), previous, scratch);
    case Kind::kText:
      return write_text(chunk.text(cell), previous, scratch);
    case Kind::kBytes:
      return write_bytes(chunk.text(cell), previous, scratch);
    case Kind::kJson:
      return text_value(std::string(chunk.text(cell)), scratch);
    case Kind::kTimestamp:
      return write_timestamp(column, cell, previous, scratch);
    case Kind::kDate:
      return write_date(column, cell, previous, scratch);
    case Kind::kUuid:
      return write_uuid(chunk.text(cell), previous, scratch);
  }
  throw Error(ErrorKind::kInternal, Retry::kNever, "an unchanged value was to be written",
              {.object = column.name});
}

void bind_value(sqlite3_stmt* statement, int index, const StoredValue& value) {
  int code = SQLITE_OK;
  switch (value.type) {
    case SQLITE_INTEGER:
      code = sqlite3_bind_int64(statement, index, value.integer);
      break;
    case SQLITE_FLOAT:
      code = sqlite3_bind_double(statement, index, value.real);
      break;
    case SQLITE_TEXT:
      code = sqlite3_bind_text64(statement, index, value.bytes.data(), value.bytes.size(),
                                 SQLITE_TRANSIENT, SQLITE_UTF8);
      break;
    case SQLITE_BLOB:
      // A null pointer would bind NULL; an empty view may have one.
      code = sqlite3_bind_blob64(statement, index, value.bytes.empty() ? "" : value.bytes.data(),
                                 value.bytes.size(), SQLITE_TRANSIENT);
      break;
    default:
      code = sqlite3_bind_null(statement, index);
      break;
  }
  if (code != SQLITE_OK) {
    throw Error(ErrorKind::kData, Retry::kNever,
                std::string("a value cannot be bound: ") + sqlite3_errstr(code));
  }
}

}  // namespace switchback
