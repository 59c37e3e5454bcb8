#include "watchers/sqlite/value_text.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "watchers/sqlite/codec.h"

namespace switchback {
namespace {

template <class Real>
std::string shortest(Real value) {
  std::array<char, 512> buffer{};  // the longest double has 309 digits before its point
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  if (error == std::errc()) return {buffer.data(), end};
  // Shorter than its exponent form promises: a subnormal, whose zeros need more room.
  std::array<char, 1200> larger{};
  const auto again =
      std::to_chars(larger.data(), larger.data() + larger.size(), value, std::chars_format::fixed);
  return {larger.data(), again.ptr};
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_ignoring_case(std::string_view text, std::string_view word) {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(),
                    [](char a, char b) { return lower(a) == b; });
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

}  // namespace

std::string shortest_text(double value) {
  return shortest(value);
}

std::string shortest_text(float value) {
  return shortest(value);
}

std::string real_text(double value) {
  if (std::isinf(value)) return value > 0 ? "Inf" : "-Inf";
  std::array<char, 40> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.15g", value);
  if (std::strtod(buffer.data(), nullptr) != value) {
    std::snprintf(buffer.data(), buffer.size(), "%.17g", value);
  }
  std::string text = buffer.data();
  if (text.find('.') == std::string::npos) text.insert(std::min(text.find('e'), text.size()), ".0");
  return text;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || text.empty()) return std::nullopt;
  const std::string_view digits = text.front() == '-' ? text.substr(1) : text;
  if (digits.front() == '0' && text != "0") return std::nullopt;
  return value;
}

std::optional<double> parse_real(std::string_view text) {
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<bool> parse_bool(std::string_view text) {
  for (const std::string_view word : {"true", "t", "1"}) {
    if (equal_ignoring_case(text, word)) return true;
  }
  for (const std::string_view word : {"false", "f", "0"}) {
    if (equal_ignoring_case(text, word)) return false;
  }
  return std::nullopt;
}

std::optional<std::int64_t> exact_integer(double value) {
  // 2^63 itself is one too large; NaN fails both comparisons.
  constexpr double kLimit = 9223372036854775808.0;
  if (!(value >= -kLimit && value < kLimit) || std::trunc(value) != value) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

std::optional<double> exact_real(std::int64_t value) {
  const auto real = static_cast<double>(value);
  if (exact_integer(real) != value) return std::nullopt;
  return real;
}

std::optional<Recognised> recognise_for(const ColumnMap& column, std::string_view text) {
  for (const Spelling spelling : column.spellings) {
    if (const auto micros = parse_timestamp(spelling, text)) return Recognised{spelling, *micros};
  }
  const auto seen = recognise_timestamp(text);
  if (!seen || is_count(seen->spelling)) return std::nullopt;
  return seen;
}

bool is_clean_text(std::string_view bytes) {
  return simdjson::validate_utf8(bytes.data(), bytes.size()) &&
         bytes.find('\0') == std::string_view::npos;
}

std::string canonical_uuid(std::string_view bytes, bool binary) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string hex;
  if (binary) {
    if (bytes.size() != 16) return "";
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      hex += kHex[byte >> 4];
      hex += kHex[byte & 15];
    }
  } else {
    const bool dashed = bytes.size() == 36;
    if (!dashed && bytes.size() != 32) return "";
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const bool dash_here = dashed && (i == 8 || i == 13 || i == 18 || i == 23);
      if (dash_here != (bytes[i] == '-')) return "";
      if (!dash_here) hex += lower(bytes[i]);
    }
    if (!std::all_of(hex.begin(), hex.end(), is_hex)) return "";
  }
  for (const std::size_t at : {8U, 13U, 18U, 23U}) hex.insert(at, "-");
  return hex;
}

std::string describe(const StoredValue& value) {
  constexpr std::size_t kShown = 40;
  switch (value.type) {
    case SQLITE_INTEGER:
      return fmt::format("integer {}", value.integer);
    case SQLITE_FLOAT:
      return "real " + real_text(value.real);
    case SQLITE_BLOB:
      return fmt::format("a blob of {} bytes", value.bytes.size());
    case SQLITE_TEXT:
      break;
    default:
      return "NULL";
  }
  std::string_view shown = value.bytes.substr(0, kShown);
  if (value.bytes.size() > kShown) {
    while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0xC0) == 0x80) {
      shown.remove_suffix(1);
    }
    if (!shown.empty() && static_cast<unsigned char>(shown.back()) >= 0xC0) shown.remove_suffix(1);
  }
  if (!simdjson::validate_utf8(shown.data(), shown.size()) ||
      shown.find('\0') != std::string_view::npos) {
    return fmt::format("text of {} bytes that is not UTF-8 or holds a NUL", value.bytes.size());
  }
  return fmt::format("text '{}{}'", shown, shown.size() < value.bytes.size() ? "…" : "");
}

}  // namespace switchback
