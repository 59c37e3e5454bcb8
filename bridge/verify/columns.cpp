#include "bridge/verify/columns.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <chrono>

namespace switchback {
namespace {

constexpr std::size_t kMostShown = 80;
constexpr std::size_t kShownBefore = 24;  // of what is equal

bool compared(const ColumnMap& column) {
  return !column.generated && !column.old_name.empty();
}

std::string day_words(std::int64_t days) {
  // Beyond what the calendar of the library counts in.
  if (days > 10'000'000 || days < -10'000'000) return fmt::format("day {}", days);
  const std::chrono::year_month_day day{
      std::chrono::sys_days(std::chrono::days(static_cast<int>(days)))};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
}

std::string infinity_words(std::int64_t value) {
  return value == kPlusInfinity ? "infinity" : "-infinity";
}

bool is_infinite(std::int64_t value) {
  return value == kPlusInfinity || value == kMinusInfinity;
}

std::string moment_words(std::int64_t micros) {
  if (is_infinite(micros)) return infinity_words(micros);
  constexpr std::int64_t kPerDay = std::int64_t{86'400} * 1'000'000;
  const std::int64_t days = micros / kPerDay - (micros % kPerDay < 0 ? 1 : 0);
  const std::int64_t rest = micros - days * kPerDay;
  const std::int64_t second = rest / 1'000'000;
  return fmt::format("{} {:02}:{:02}:{:02}.{:06}", day_words(days), second / 3600, second / 60 % 60,
                     second % 60, rest % 1'000'000);
}

std::string hex_of(std::string_view bytes) {
  std::string out = "\\x";
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

bool inside_character(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

/// About kMostShown bytes of it, around `differs`.
std::string shortened(std::string_view text, std::size_t differs, bool is_bytes) {
  std::size_t begin = 0;
  if (text.size() > kMostShown && differs > kShownBefore) begin = differs - kShownBefore;
  begin = std::min(begin, text.size());
  while (!is_bytes && begin > 0 && inside_character(text, begin)) --begin;
  std::size_t end = std::min(text.size(), begin + kMostShown);
  while (!is_bytes && inside_character(text, end)) ++end;
  const std::string_view part = text.substr(begin, end - begin);
  std::string out = is_bytes ? hex_of(part) : fmt::format("'{}'", part);
  if (begin != 0) out = "…" + out;
  if (end != text.size()) out += "…";
  if (begin != 0 || end != text.size()) out += fmt::format(" ({} bytes)", text.size());
  return out;
}

std::string words_of(const Cell& cell, const Chunk& chunk, std::size_t differs) {
  switch (cell.kind) {
    case Kind::kNull:
      return "NULL";
    case Kind::kUnchanged:
      return "unchanged";
    case Kind::kBool:
      return cell.i != 0 ? "true" : "false";
    case Kind::kInt:
      return std::to_string(cell.i);
    case Kind::kReal:
      return fmt::format("{}", cell.d);
    case Kind::kTimestamp:
      return moment_words(cell.i);
    case Kind::kDate:
      return is_infinite(cell.i) ? infinity_words(cell.i) : day_words(cell.i);
    case Kind::kDecimal:
    case Kind::kUuid:
      return std::string(chunk.text(cell));
    case Kind::kText:
    case Kind::kJson:
      return shortened(chunk.text(cell), differs, false);
    case Kind::kBytes:
      return shortened(chunk.text(cell), differs, true);
  }
  return {};
}

}  // namespace

std::vector<std::uint16_t> compared_columns(const TableMap& map) {
  std::vector<std::uint16_t> out;
  for (std::uint16_t i = 0; i < map.columns.size(); ++i) {
    if (i < map.key_width || compared(map.columns[i])) out.push_back(i);
  }
  return out;
}

std::vector<std::string> columns_not_compared(const TableMap& map) {
  std::vector<std::string> out;
  for (std::size_t i = map.key_width; i < map.columns.size(); ++i) {
    const ColumnMap& column = map.columns[i];
    if (compared(column)) continue;
    out.push_back(fmt::format("{} ({})", column.name,
                              column.generated ? "generated in PostgreSQL" : "in PostgreSQL only"));
  }
  return out;
}

std::pair<std::string, std::string> value_words(const Cell& a, const Chunk& of_a, const Cell& b,
                                                const Chunk& of_b) {
  std::size_t differs = 0;
  if (has_text(a.kind) && has_text(b.kind)) {
    const std::string_view left = of_a.text(a), right = of_b.text(b);
    const std::size_t most = std::min(left.size(), right.size());
    while (differs < most && left[differs] == right[differs]) ++differs;
  }
  return {words_of(a, of_a, differs), words_of(b, of_b, differs)};
}

std::string whole_value(const Cell& cell, const Chunk& chunk) {
  if (cell.kind == Kind::kText || cell.kind == Kind::kJson) return std::string(chunk.text(cell));
  if (cell.kind == Kind::kBytes) return hex_of(chunk.text(cell));
  return words_of(cell, chunk, 0);
}

bool can_be_fetched(const TableMap& map, std::span<const Cell> key, const Chunk& chunk) {
  for (std::uint16_t i = 0; i < map.key_width; ++i) {
    if (key[i].kind != kind_of(map.columns[i].type)) return false;
    if (!has_text(key[i].kind) || key[i].kind == Kind::kBytes) continue;
    const std::string_view text = chunk.text(key[i]);
    if (text.find('\0') != text.npos || !simdjson::validate_utf8(text.data(), text.size())) {
      return false;
    }
  }
  return true;
}

}  // namespace switchback
