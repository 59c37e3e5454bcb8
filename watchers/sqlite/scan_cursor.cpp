#include "watchers/sqlite/scan_cursor.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>

#include "state/base/error.h"

namespace switchback {
namespace {

// "version" and then for each value " i<decimal>", " f<bits of the double>", " t<hex>" or "
// b<hex>"; " u<decimal>" is the last rowid of a part.

std::string hex_of(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

[[noreturn]] void refuse(std::string_view text) {
  throw Error(ErrorKind::kData, Retry::kNever, "a stored cursor of a load cannot be read",
              {.object = std::string(text)});
}

template <class Number>
Number number_of(std::string_view text, int base = 10) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc() || at != end) refuse(text);
  return value;
}

std::string bytes_of(std::string_view hex) {
  if (hex.size() % 2 != 0) refuse(hex);
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out += static_cast<char>(number_of<unsigned char>(hex.substr(i, 2), 16));
  }
  return out;
}

KeyForm value_of(std::string_view word) {
  if (word.empty()) refuse(word);
  const std::string_view rest = word.substr(1);
  switch (word.front()) {
    case 'i':
      return {SQLITE_INTEGER, number_of<std::int64_t>(rest), 0, {}};
    case 'f':
      return {SQLITE_FLOAT, 0, std::bit_cast<double>(number_of<std::uint64_t>(rest, 16)), {}};
    case 't':
      return {SQLITE_TEXT, 0, 0, bytes_of(rest)};
    case 'b':
      return {SQLITE_BLOB, 0, 0, bytes_of(rest)};
    default:
      refuse(word);
  }
}

}  // namespace

std::string encode_place(std::int64_t schema_version, std::span<const StoredValue> after,
                         std::optional<std::int64_t> until) {
  std::string out = std::to_string(schema_version);
  for (const StoredValue& value : after) {
    switch (value.type) {
      case SQLITE_INTEGER:
        out += fmt::format(" i{}", value.integer);
        break;
      case SQLITE_FLOAT:
        out += fmt::format(" f{:x}", std::bit_cast<std::uint64_t>(value.real));
        break;
      case SQLITE_TEXT:
        out += " t" + hex_of(value.bytes);
        break;
      case SQLITE_BLOB:
        out += " b" + hex_of(value.bytes);
        break;
      default:
        refuse("a NULL in a primary key");
    }
  }
  if (until) out += fmt::format(" u{}", *until);
  return out;
}

ScanPlace decode_place(std::string_view text) {
  const auto word = [&] {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return taken;
  };
  ScanPlace place;
  place.schema_version = number_of<std::int64_t>(word());
  while (!text.empty()) {
    const std::string_view next = word();
    if (next.starts_with('u')) {
      place.until = number_of<std::int64_t>(next.substr(1));
    } else {
      place.after.push_back(value_of(next));
    }
  }
  return place;
}

}  // namespace switchback
