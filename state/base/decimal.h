// Decimal numbers of any size as text: how NUMERIC and JSON numbers are compared and respelled
// without ever passing through a double. Used by the codecs and the JSON comparison. Pure and
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace switchback {

/// A number as 0.DIGITS × 10^exponent, without leading or trailing zeros; zero has no digits.
struct Decimal {
  bool negative = false;
  std::string digits;
  std::int64_t exponent = 0;

  bool zero() const { return digits.empty(); }
  bool integral() const { return exponent >= static_cast<std::int64_t>(digits.size()); }
  /// Digits after the point that are needed to write it; 0 for integers.
  std::int64_t fraction_digits() const;
  /// Digits before the point that are needed to write it; 0 below one.
  std::int64_t integer_digits() const { return zero() || exponent < 0 ? 0 : exponent; }
  friend bool operator==(const Decimal&, const Decimal&) = default;
};

/// Reads [+-]digits[.digits][e[+-]digits], a digit at least on one side of the point. nullopt if
/// `text` is anything else, or its exponent has more than nine digits.
std::optional<Decimal> parse_decimal(std::string_view text);

/// Without exponent, as many digits as needed: "-12.5", "0.001", "1200".
std::string to_plain(const Decimal& value);

}  // namespace switchback
