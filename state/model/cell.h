// One value in canonical form. No endpoint sees another's wire form: SQLite values, JSON tokens and
// PostgreSQL binary all become cells at their own side and are turned back at the other.
#pragma once

#include <cstdint>
#include <string_view>

namespace switchback {

/// The closed set of kinds. A switch over it has no default, so adding one finds every place.
enum class Kind : std::uint8_t {
  kNull,
  kUnchanged,  // unchanged TOAST: PostgreSQL did not send the value; never NULL, never a default
  kBool,       // i: 0 or 1
  kInt,        // i
  kReal,       // d: any double, infinities and NaN included
  kDecimal,    // text: optional '-', digits, optional '.' and digits; no exponent; or "NaN"
  kText,       // text: UTF-8 without NUL
  kBytes,      // text: any bytes
  kJson,       // text: one JSON document, as spelled by its side
  kTimestamp,  // i: microseconds since 1970-01-01 00:00:00 UTC; kPlusInfinity / kMinusInfinity
  kDate,       // i: days since 1970-01-01; kPlusInfinity / kMinusInfinity
  kUuid,       // text: 36 characters, lower case
};

inline constexpr std::int64_t kPlusInfinity = INT64_MAX;
inline constexpr std::int64_t kMinusInfinity = INT64_MIN;

/// Sixteen bytes, no pointer: text lives in the arena of the chunk that holds the cell.
struct Cell {
  union {
    std::int64_t i;
    double d;
    std::uint64_t offset;
  };
  std::uint32_t size;
  Kind kind;

  static Cell null() { return make(Kind::kNull, 0); }
  static Cell unchanged() { return make(Kind::kUnchanged, 0); }
  static Cell integer(std::int64_t value) { return make(Kind::kInt, value); }
  static Cell boolean(bool value) { return make(Kind::kBool, value ? 1 : 0); }
  static Cell timestamp(std::int64_t micros) { return make(Kind::kTimestamp, micros); }
  static Cell date(std::int64_t days) { return make(Kind::kDate, days); }
  static Cell real(double value) {
    Cell cell = make(Kind::kReal, 0);
    cell.d = value;
    return cell;
  }

 private:
  static Cell make(Kind kind, std::int64_t value) {
    Cell cell;
    cell.i = value;
    cell.size = 0;
    cell.kind = kind;
    return cell;
  }
};
static_assert(sizeof(Cell) == 16);

/// Kinds whose value is text in the chunk's arena.
constexpr bool has_text(Kind kind) {
  switch (kind) {
    case Kind::kDecimal:
    case Kind::kText:
    case Kind::kBytes:
    case Kind::kJson:
    case Kind::kUuid:
      return true;
    case Kind::kNull:
    case Kind::kUnchanged:
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kReal:
    case Kind::kTimestamp:
    case Kind::kDate:
      return false;
  }
  return false;
}

std::string_view to_string(Kind kind) noexcept;

}  // namespace switchback
