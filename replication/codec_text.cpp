// The text half of the codec: values as a session with TimeZone UTC, DateStyle ISO and bytea_output
// hex spells them.
#include <charconv>
#include <limits>

#include "replication/codec.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;

[[noreturn]] void refuse(const ColumnMap& column, std::string_view text) {
  throw Error(ErrorKind::kData, Retry::kNever,
              "'" + std::string(text.substr(0, 60)) + "' is no value of " + column.type_name,
              {.object = "column " + column.name, .sqlstate = {}, .next = {}});
}

template <class T>
T parse_number(const ColumnMap& column, std::string_view text) {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) refuse(column, text);
  return value;
}

/// Reads the parts of a date and time one by one. Every call leaves `ok` false once one did not
/// fit.
struct Scanner {
  std::string_view rest;
  bool ok = true;

  std::int64_t digits(std::size_t least, std::size_t most) {
    std::size_t n = 0;
    std::int64_t value = 0;
    while (n < most && n < rest.size() && rest[n] >= '0' && rest[n] <= '9') {
      value = value * 10 + (rest[n++] - '0');
    }
    ok = ok && n >= least;
    rest.remove_prefix(n);
    return value;
  }
  bool take(std::string_view word) {
    if (!rest.starts_with(word)) return false;
    rest.remove_prefix(word.size());
    return true;
  }
  void need(std::string_view word) { ok = take(word) && ok; }
};

/// Days since 1970-01-01 in the proleptic Gregorian calendar, for any year.
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
std::int64_t days_from_civil(std::int64_t year, std::int64_t month, std::int64_t day) {
  const std::int64_t y = month <= 2 ? year - 1 : year;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const std::int64_t year_of_era = y - era * 400;
  const std::int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

struct CivilDate {
  std::int64_t year, month, day;
};

CivilDate scan_date(Scanner& in) {
  CivilDate date{};
  date.year = in.digits(4, 7);
  in.need("-");
  date.month = in.digits(2, 2);
  in.need("-");
  date.day = in.digits(2, 2);
  in.ok = in.ok && date.month >= 1 && date.month <= 12 && date.day >= 1 && date.day <= 31;
  return date;
}

/// Takes the " BC" that may end a value; the year before 1 AD is 1 BC.
std::int64_t days_of(Scanner& in, CivilDate date) {
  if (in.take(" BC")) date.year = 1 - date.year;
  return days_from_civil(date.year, date.month, date.day);
}

/// Microseconds since midnight.
std::int64_t scan_time(Scanner& in) {
  const std::int64_t hours = in.digits(2, 2);
  in.need(":");
  const std::int64_t minutes = in.digits(2, 2);
  in.need(":");
  const std::int64_t seconds = in.digits(2, 2);
  std::int64_t micros = ((hours * 60 + minutes) * 60 + seconds) * kMicrosPerSecond;
  if (in.take(".")) {
    const std::size_t before = in.rest.size();
    std::int64_t fraction = in.digits(1, 6);
    for (std::size_t n = before - in.rest.size(); n < 6; ++n) fraction *= 10;
    micros += fraction;
  }
  return micros;
}

/// An offset like "+00", "-03:30" or none, in microseconds.
std::int64_t scan_offset(Scanner& in) {
  const bool minus = in.rest.starts_with('-');
  if (!in.take("+") && !in.take("-")) return 0;
  std::int64_t seconds = in.digits(2, 2) * 3600;
  if (in.take(":")) seconds += in.digits(2, 2) * 60;
  if (in.take(":")) seconds += in.digits(2, 2);
  return (minus ? -seconds : seconds) * kMicrosPerSecond;
}

Cell parse_date(const ColumnMap& column, std::string_view text) {
  if (text == "infinity") return Cell::date(kPlusInfinity);
  if (text == "-infinity") return Cell::date(kMinusInfinity);
  Scanner in{text};
  const CivilDate date = scan_date(in);
  const std::int64_t days = days_of(in, date);
  if (!in.ok || !in.rest.empty()) refuse(column, text);
  return Cell::date(days);
}

Cell parse_timestamp(const ColumnMap& column, std::string_view text) {
  if (text == "infinity") return Cell::timestamp(kPlusInfinity);
  if (text == "-infinity") return Cell::timestamp(kMinusInfinity);
  Scanner in{text};
  const CivilDate date = scan_date(in);
  in.need(" ");
  const std::int64_t time = scan_time(in);
  const std::int64_t offset = scan_offset(in);
  const std::int64_t days = days_of(in, date);
  if (!in.ok || !in.rest.empty()) refuse(column, text);
  // The last 30 of PostgreSQL's 294,276 years lie beyond 2^63 microseconds from 1970.
  if (days >= kPlusInfinity / (86'400 * kMicrosPerSecond) - 1) refuse(column, text);
  return Cell::timestamp(days * 86'400 * kMicrosPerSecond + time - offset);
}

Cell parse_bool(const ColumnMap& column, std::string_view text) {
  if (text == "t" || text == "true") return Cell::boolean(true);
  if (text == "f" || text == "false") return Cell::boolean(false);
  refuse(column, text);
}

template <std::floating_point T>
Cell parse_real(const ColumnMap& column, std::string_view text) {
  if (text == "NaN") return Cell::real(std::numeric_limits<double>::quiet_NaN());
  if (text == "Infinity") return Cell::real(std::numeric_limits<double>::infinity());
  if (text == "-Infinity") return Cell::real(-std::numeric_limits<double>::infinity());
  return Cell::real(parse_number<T>(column, text));
}

Cell parse_decimal(const ColumnMap& column, std::string_view text, Chunk& out) {
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (text != "NaN" &&
      (digits.empty() || digits.find_first_not_of("0123456789.") != std::string_view::npos)) {
    refuse(column, text);
  }
  return out.add_text(Kind::kDecimal, text);
}

Cell parse_bytea(const ColumnMap& column, std::string_view text, Chunk& out) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) refuse(column, text);
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 2; i < text.size(); i += 2) {
    unsigned value = 0;
    const auto [end, code] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (code != std::errc() || end != text.data() + i + 2) refuse(column, text);
    bytes += static_cast<char>(value);
  }
  return out.add_text(Kind::kBytes, bytes);
}

}  // namespace

Cell decode_text(const ColumnMap& column, std::string_view text, Chunk& out) {
  switch (column.type) {
    case PgType::kBool:
      return parse_bool(column, text);
    case PgType::kInt2:
      return Cell::integer(parse_number<std::int16_t>(column, text));
    case PgType::kInt4:
      return Cell::integer(parse_number<std::int32_t>(column, text));
    case PgType::kInt8:
      return Cell::integer(parse_number<std::int64_t>(column, text));
    // Narrow first, so that text and binary give the same double.
    case PgType::kFloat4:
      return parse_real<float>(column, text);
    case PgType::kFloat8:
      return parse_real<double>(column, text);
    case PgType::kNumeric:
      return parse_decimal(column, text, out);
    case PgType::kText:
    case PgType::kVarchar:
    case PgType::kChar:
    case PgType::kOtherText:
      return out.add_text(Kind::kText, text);
    case PgType::kJson:
    case PgType::kJsonb:
      return out.add_text(Kind::kJson, text);
    case PgType::kBytea:
      return parse_bytea(column, text, out);
    case PgType::kTimestamp:
    case PgType::kTimestamptz:
      return parse_timestamp(column, text);
    case PgType::kDate:
      return parse_date(column, text);
    case PgType::kUuid:
      return out.add_text(Kind::kUuid, text);
  }
  refuse(column, text);
}

}  // namespace switchback
