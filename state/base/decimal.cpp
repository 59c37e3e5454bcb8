#include "state/base/decimal.h"

#include <algorithm>

#include "state/base/ascii.h"

namespace switchback {
namespace {

std::string_view take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

bool take_sign(std::string_view& text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return negative;
}

/// The exponent part, if there is one; false if what is left is not one.
bool take_exponent(std::string_view& text, std::int64_t& exponent) {
  if (text.empty()) return true;
  if (text.front() != 'e' && text.front() != 'E') return false;
  text.remove_prefix(1);
  const bool negative = take_sign(text);
  std::string_view digits = take_digits(text);
  if (digits.empty() || !text.empty()) return false;
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.size() > 9) return false;
  for (const char c : digits) exponent = exponent * 10 + (c - '0');
  if (negative) exponent = -exponent;
  return true;
}

}  // namespace

std::int64_t Decimal::fraction_digits() const {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(digits.size()) - exponent);
}

std::optional<Decimal> parse_decimal(std::string_view text) {
  Decimal out;
  out.negative = take_sign(text);
  const std::string_view whole = take_digits(text);
  std::string_view fraction;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    fraction = take_digits(text);
  }
  if (whole.empty() && fraction.empty()) return std::nullopt;
  if (!take_exponent(text, out.exponent)) return std::nullopt;

  out.digits.reserve(whole.size() + fraction.size());
  out.digits.append(whole).append(fraction);
  out.exponent += static_cast<std::int64_t>(whole.size());
  const std::size_t first = out.digits.find_first_not_of('0');
  if (first == std::string::npos) return Decimal{};
  out.digits.erase(0, first);
  out.exponent -= static_cast<std::int64_t>(first);
  out.digits.erase(out.digits.find_last_not_of('0') + 1);
  return out;
}

std::string to_plain(const Decimal& value) {
  if (value.zero()) return "0";
  std::string out = value.negative ? "-" : "";
  const auto size = static_cast<std::int64_t>(value.digits.size());
  if (value.exponent <= 0) {
    out.append("0.").append(static_cast<std::size_t>(-value.exponent), '0').append(value.digits);
  } else if (value.exponent >= size) {
    out.append(value.digits).append(static_cast<std::size_t>(value.exponent - size), '0');
  } else {
    const auto point = static_cast<std::size_t>(value.exponent);
    out.append(value.digits, 0, point).append(".").append(value.digits, point);
  }
  return out;
}

}  // namespace switchback
