#include "replication/lsn.h"

#include <fmt/format.h>

#include <charconv>

namespace switchback {
namespace {

std::optional<std::uint32_t> parse_half(std::string_view digits) noexcept {
  if (digits.empty() || digits.size() > 8) return std::nullopt;
  // to_string() never pads, so a leading zero stands alone.
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  std::uint32_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, code] = std::from_chars(digits.data(), end, value, 16);
  if (code != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

std::string to_string(Lsn lsn) {
  return fmt::format("{:X}/{:X}", lsn.value >> 32, lsn.value & UINT32_MAX);
}

std::optional<Lsn> parse_lsn(std::string_view text) noexcept {
  const auto slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  const auto high = parse_half(text.substr(0, slash));
  const auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return Lsn{std::uint64_t{*high} << 32 | *low};
}

}  // namespace switchback
