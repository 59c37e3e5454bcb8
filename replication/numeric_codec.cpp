#include "replication/numeric_codec.h"

#include <cstdint>
#include <vector>

#include "replication/wire.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr std::uint16_t kPositive = 0x0000;
constexpr std::uint16_t kNegative = 0x4000;
constexpr std::uint16_t kNan = 0xC000;
constexpr std::uint16_t kPlusInf = 0xD000;
constexpr std::uint16_t kMinusInf = 0xF000;
constexpr std::size_t kHeaderBytes = 8;
constexpr std::size_t kGroup = 4;  // decimal digits in one base-10000 digit
constexpr std::size_t kMostIntegerDigits = 131072;
constexpr std::size_t kMostFractionDigits = 16383;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::kData, Retry::kNever, why);
}

struct Header {
  std::uint16_t digits, weight, sign, scale;
};

void append_header(const Header& header, std::string& out) {
  append_big_endian(out, header.digits);
  append_big_endian(out, header.weight);
  append_big_endian(out, header.sign);
  append_big_endian(out, header.scale);
}

bool all_digits(std::string_view text) {
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

/// The base-10000 digits of the number whose integer part is padded to whole groups on the left and
/// whose fraction is padded on the right.
std::vector<std::uint16_t> groups_of(std::string_view integer, std::string_view fraction) {
  std::string digits((kGroup - integer.size() % kGroup) % kGroup, '0');
  digits += integer;
  digits += fraction;
  digits.append((kGroup - fraction.size() % kGroup) % kGroup, '0');
  std::vector<std::uint16_t> groups;
  groups.reserve(digits.size() / kGroup);
  for (std::size_t i = 0; i < digits.size(); i += kGroup) {
    int group = 0;
    for (std::size_t k = 0; k < kGroup; ++k) group = group * 10 + (digits[i + k] - '0');
    groups.push_back(static_cast<std::uint16_t>(group));
  }
  return groups;
}

}  // namespace

void encode_numeric(std::string_view decimal, std::string& out) {
  if (decimal == "NaN") {
    append_header({0, 0, kNan, 0}, out);
    return;
  }
  const bool negative = decimal.starts_with('-');
  const std::string_view number = decimal.substr(negative ? 1 : 0);
  const std::size_t point = number.find('.');
  std::string_view integer = number.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : number.substr(point + 1);
  if ((integer.empty() && fraction.empty()) || !all_digits(integer) || !all_digits(fraction)) {
    refuse("'" + std::string(decimal.substr(0, 40)) + "' is no decimal number");
  }
  while (integer.starts_with('0')) integer.remove_prefix(1);
  if (integer.size() > kMostIntegerDigits || fraction.size() > kMostFractionDigits) {
    refuse("a decimal number with more digits than NUMERIC holds");
  }
  const std::vector<std::uint16_t> groups = groups_of(integer, fraction);
  const std::size_t integer_groups = (integer.size() + kGroup - 1) / kGroup;
  std::size_t first = 0;
  std::size_t last = groups.size();
  while (first < last && groups[first] == 0) ++first;
  while (last > first && groups[last - 1] == 0) --last;
  const std::size_t count = last - first;
  const auto weight =
      static_cast<std::int64_t>(integer_groups) - 1 - static_cast<std::int64_t>(first);
  append_header(
      {static_cast<std::uint16_t>(count), static_cast<std::uint16_t>(count == 0 ? 0 : weight),
       negative && count != 0 ? kNegative : kPositive, static_cast<std::uint16_t>(fraction.size())},
      out);
  for (std::size_t i = first; i < last; ++i) append_big_endian(out, groups[i]);
}

std::string decode_numeric(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes) refuse("a NUMERIC value that is cut short");
  const auto count = read_big_endian<std::uint16_t>(bytes);
  const auto weight = read_big_endian<std::int16_t>(bytes.substr(2));
  const auto sign = read_big_endian<std::uint16_t>(bytes.substr(4));
  const auto scale = read_big_endian<std::uint16_t>(bytes.substr(6));
  if (bytes.size() != kHeaderBytes + std::size_t{2} * count) {
    refuse("a NUMERIC value of a wrong length");
  }
  if (sign == kNan) return "NaN";
  if (sign == kPlusInf || sign == kMinusInf) refuse("an infinite NUMERIC value");
  if (sign != kPositive && sign != kNegative) refuse("a NUMERIC value with an unknown sign");
  if (scale > kMostFractionDigits) refuse("a NUMERIC value with a scale beyond 16383");
  const auto group_at = [&](int position) -> std::string {
    const int i = weight - position;  // position: the power of 10000
    if (i < 0 || i >= count) return "0000";
    const auto group = read_big_endian<std::uint16_t>(
        bytes.substr(kHeaderBytes + 2 * static_cast<std::size_t>(i)));
    if (group > 9999) refuse("a NUMERIC value with a digit beyond 9999");
    const std::string text = std::to_string(group);
    return std::string(kGroup - text.size(), '0') + text;
  };
  std::string integer;
  for (int position = weight; position >= 0; --position) integer += group_at(position);
  integer.erase(0, std::min(integer.find_first_not_of('0'), integer.size()));
  if (integer.empty()) integer = "0";
  std::string fraction;
  for (int position = -1; fraction.size() < scale || weight - position < count; --position) {
    fraction += group_at(position);
  }
  // Cutting them off would be another value.
  if (fraction.find_first_not_of('0', scale) != fraction.npos) {
    refuse("a NUMERIC value with digits beyond its scale");
  }
  fraction.resize(scale);
  const bool zero = integer == "0" && fraction.find_first_not_of('0') == fraction.npos;
  return (sign == kNegative && !zero ? "-" : "") + integer +
         (fraction.empty() ? "" : "." + fraction);
}

}  // namespace switchback
