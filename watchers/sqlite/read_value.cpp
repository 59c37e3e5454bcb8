// From what SQLite stores to canonical cells.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "state/base/decimal.h"
#include "state/base/json_meaning.h"
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/spelling.h"
#include "watchers/sqlite/value_text.h"

namespace switchback {
namespace {

using MaybeCell = std::optional<Cell>;

std::nullopt_t misfit(const ColumnMap& column, const StoredValue& value, std::string& why,
                      std::string_view because = {}) {
  why = fmt::format("{}: {} does not fit {}{}{}", column.name, describe(value), column.type_name,
                    because.empty() ? "" : ": ", because);
  return std::nullopt;
}

MaybeCell read_bool(const ColumnMap& column, const StoredValue& value, std::string& why) {
  if (value.type == SQLITE_INTEGER && (value.integer == 0 || value.integer == 1)) {
    return Cell::boolean(value.integer == 1);
  }
  if (value.type == SQLITE_FLOAT && (value.real == 0.0 || value.real == 1.0)) {
    return Cell::boolean(value.real == 1.0);
  }
  if (value.type == SQLITE_TEXT) {
    if (const auto word = parse_bool(value.bytes)) return Cell::boolean(*word);
  }
  return misfit(column, value, why);
}

bool in_range(PgType type, std::int64_t value) {
  if (type == PgType::kInt2) return value >= INT16_MIN && value <= INT16_MAX;
  if (type == PgType::kInt4) return value >= INT32_MIN && value <= INT32_MAX;
  return true;
}

MaybeCell read_int(const ColumnMap& column, const StoredValue& value, std::string& why) {
  std::optional<std::int64_t> number;
  if (value.type == SQLITE_INTEGER) number = value.integer;
  if (value.type == SQLITE_FLOAT) number = exact_integer(value.real);
  if (value.type == SQLITE_TEXT) number = parse_integer(value.bytes);
  if (!number) return misfit(column, value, why);
  if (!in_range(column.type, *number)) return misfit(column, value, why, "out of range");
  return Cell::integer(*number);
}

MaybeCell read_real(const ColumnMap& column, const StoredValue& value, std::string& why) {
  std::optional<double> number;
  if (value.type == SQLITE_FLOAT) number = value.real;
  if (value.type == SQLITE_INTEGER) number = exact_real(value.integer);
  if (value.type == SQLITE_TEXT) number = parse_real(value.bytes);
  if (!number) return misfit(column, value, why);
  if (column.type == PgType::kFloat4) {
    // 0.1 fits: both sides print and mean it as 0.1. 0.123456789 would be rounded.
    const auto narrow = static_cast<float>(*number);
    if (!std::isnan(*number) &&
        shortest_text(static_cast<double>(narrow)) != shortest_text(*number) &&
        shortest_text(narrow) != shortest_text(*number)) {
      return misfit(column, value, why, "it would be rounded");
    }
    return Cell::real(static_cast<double>(narrow));
  }
  return Cell::real(*number);
}

/// Empty if NUMERIC(p, s) (or plain NUMERIC) takes the number as it is, else why not.
std::string_view numeric_refusal(std::int32_t modifier, const Decimal& number) {
  // https://www.postgresql.org/docs/15/datatype-numeric.html; numeric.c: make_numeric_typmod()
  constexpr std::int64_t kMostWhole = 131072, kMostFraction = 16383;
  if (modifier < 4) {
    const bool fits =
        number.integer_digits() <= kMostWhole && number.fraction_digits() <= kMostFraction;
    return fits ? "" : "out of range";
  }
  const std::int32_t packed = modifier - 4;
  const std::int32_t precision = (packed >> 16) & 0xFFFF;
  const std::int32_t scale = ((packed & 0x7FF) ^ 1024) - 1024;
  const std::int64_t last = static_cast<std::int64_t>(number.digits.size()) - number.exponent;
  if (!number.zero() && last > scale) return "it would be rounded";
  if (!number.zero() && number.exponent > precision - scale) return "out of range";
  return "";
}

/// [-]digits[.digits]: already canonical, and its trailing zeros are the scale it is shown with.
bool is_plain_decimal(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const std::size_t point = text.find('.');
  const auto all_digits = [](std::string_view part) {
    return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (point == std::string_view::npos) return all_digits(text);
  return all_digits(text.substr(0, point)) && all_digits(text.substr(point + 1));
}

MaybeCell read_decimal(const ColumnMap& column, const StoredValue& value, Chunk& out,
                       std::string& why) {
  std::string text;
  if (value.type == SQLITE_INTEGER) text = std::to_string(value.integer);
  if (value.type == SQLITE_FLOAT && std::isfinite(value.real)) text = shortest_text(value.real);
  if (value.type == SQLITE_TEXT) {
    if (value.bytes == "NaN") return out.add_text(Kind::kDecimal, value.bytes);
    text = value.bytes;
  }
  const auto number = text.empty() ? std::nullopt : parse_decimal(text);
  if (!number) return misfit(column, value, why);
  const std::string_view refusal = numeric_refusal(column.type_modifier, *number);
  if (!refusal.empty()) return misfit(column, value, why, refusal);
  return out.add_text(Kind::kDecimal, is_plain_decimal(text) ? text : to_plain(*number));
}

bool too_long(const ColumnMap& column, std::string_view text) {
  if (column.type != PgType::kVarchar && column.type != PgType::kChar) return false;
  const std::int32_t limit = column.type_modifier - 4;
  if (limit < 0 || text.size() <= static_cast<std::size_t>(limit)) return false;
  const auto characters = std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  });
  return characters > limit;
}

MaybeCell read_text(const ColumnMap& column, const StoredValue& value, Chunk& out,
                    std::string& why) {
  std::string number;
  std::string_view text = value.bytes;
  if (value.type == SQLITE_INTEGER) text = number = std::to_string(value.integer);
  if (value.type == SQLITE_FLOAT) text = number = real_text(value.real);
  if (value.type == SQLITE_BLOB) return misfit(column, value, why);
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return misfit(column, value, why, "it is not valid UTF-8");
  }
  if (text.find('\0') != std::string_view::npos)
    return misfit(column, value, why, "it holds a NUL");
  // Blanks at the end of char(n) are padding.
  if (column.type == PgType::kChar) text = text.substr(0, text.find_last_not_of(' ') + 1);
  if (too_long(column, text)) return misfit(column, value, why, "too long");
  return out.add_text(Kind::kText, text);
}

MaybeCell read_bytes(const ColumnMap& column, const StoredValue& value, Chunk& out,
                     std::string& why) {
  if (value.type != SQLITE_BLOB && value.type != SQLITE_TEXT) return misfit(column, value, why);
  return out.add_text(Kind::kBytes, value.bytes);
}

MaybeCell read_json(const ColumnMap& column, const StoredValue& value, Chunk& out,
                    std::string& why) {
  // A column declared JSON has numeric affinity: SQLite turns the document '42' into an integer.
  if (value.type == SQLITE_INTEGER) {
    return out.add_text(Kind::kJson, std::to_string(value.integer));
  }
  if (value.type == SQLITE_FLOAT && std::isfinite(value.real)) {
    return out.add_text(Kind::kJson, shortest_text(value.real));
  }
  if (value.type != SQLITE_TEXT) return misfit(column, value, why);
  const JsonFlavour flavour =
      column.type == PgType::kJsonb ? JsonFlavour::kJsonb : JsonFlavour::kJson;
  if (const auto refusal = json_refusal(value.bytes, flavour)) {
    return misfit(column, value, why, *refusal);
  }
  return out.add_text(Kind::kJson, value.bytes);
}

std::optional<std::int64_t> micros_of_number(const ColumnMap& column, const StoredValue& value) {
  for (const Spelling spelling : column.spellings) {
    if (!is_count(spelling)) continue;
    const std::int64_t unit = spelling == Spelling::kUnix ? 1'000'000 : 1000;
    if (value.type == SQLITE_INTEGER) {
      std::int64_t micros = 0;
      if (!__builtin_mul_overflow(value.integer, unit, &micros)) return micros;
    } else {
      return exact_integer(std::round(value.real * static_cast<double>(unit)));
    }
  }
  return std::nullopt;
}

MaybeCell read_timestamp(const ColumnMap& column, const StoredValue& value, std::string& why) {
  if (value.type == SQLITE_INTEGER || value.type == SQLITE_FLOAT) {
    if (const auto micros = micros_of_number(column, value)) return Cell::timestamp(*micros);
    return misfit(column, value, why, "no listed spelling is a number");
  }
  if (value.type == SQLITE_TEXT) {
    if (const auto seen = recognise_for(column, value.bytes)) return Cell::timestamp(seen->micros);
  }
  return misfit(column, value, why);
}

MaybeCell read_date(const ColumnMap& column, const StoredValue& value, std::string& why) {
  if (value.type != SQLITE_TEXT) return misfit(column, value, why);
  if (const auto days = parse_date(value.bytes)) return Cell::date(*days);
  const auto seen = recognise_for(column, value.bytes);
  if (!seen) return misfit(column, value, why);
  if (seen->micros % kMicrosPerDay != 0) {
    return misfit(column, value, why, "its time of day would be lost");
  }
  return Cell::date(seen->micros / kMicrosPerDay);
}

MaybeCell read_uuid(const ColumnMap& column, const StoredValue& value, Chunk& out,
                    std::string& why) {
  std::string text;
  if (value.type == SQLITE_TEXT || value.type == SQLITE_BLOB) {
    text = canonical_uuid(value.bytes, value.type == SQLITE_BLOB);
  }
  if (text.empty()) return misfit(column, value, why);
  return out.add_text(Kind::kUuid, text);
}

}  // namespace

MaybeCell read_cell(const ColumnMap& column, const StoredValue& value, Chunk& out,
                    std::string& why) {
  if (value.type == SQLITE_NULL) return Cell::null();
  switch (kind_of(column.type)) {
    case Kind::kBool:
      return read_bool(column, value, why);
    case Kind::kInt:
      return read_int(column, value, why);
    case Kind::kReal:
      return read_real(column, value, why);
    case Kind::kDecimal:
      return read_decimal(column, value, out, why);
    case Kind::kText:
      return read_text(column, value, out, why);
    case Kind::kBytes:
      return read_bytes(column, value, out, why);
    case Kind::kJson:
      return read_json(column, value, out, why);
    case Kind::kTimestamp:
      return read_timestamp(column, value, why);
    case Kind::kDate:
      return read_date(column, value, why);
    case Kind::kUuid:
      return read_uuid(column, value, out, why);
    case Kind::kNull:
    case Kind::kUnchanged:
      break;
  }
  return misfit(column, value, why);
}

}  // namespace switchback
