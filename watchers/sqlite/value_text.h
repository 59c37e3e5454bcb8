// The small conversions that reading and writing SQLite values share: numbers and their texts,
// booleans in words, uuids, and which spelling of a timestamp a column would see in a text. Private
// to the codec. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "state/model/table_map.h"
#include "watchers/sqlite/spelling.h"

namespace switchback {

struct StoredValue;

inline constexpr std::int64_t kMicrosPerDay = 86'400'000'000;

/// The fewest digits that read back as the same value, without exponent: "0.1", "100", "-0".
std::string shortest_text(double value);
std::string shortest_text(float value);
/// As SQLite's CAST(… AS TEXT) has it where that loses nothing, with more digits where it would:
/// "1.0", "0.1", "1.0e+20".
std::string real_text(double value);

/// Only the one canonical form ("42", "-7", no "007"): two texts must never mean one key.
std::optional<std::int64_t> parse_integer(std::string_view text);
/// Any decimal or exponent form, "Infinity", "-Infinity" and "NaN" (which SQLite has no REAL for).
std::optional<double> parse_real(std::string_view text);
/// 'true', 'false', 't', 'f', '1', '0' in any case.
std::optional<bool> parse_bool(std::string_view text);

/// The integer that the real is, or the real that the integer is; nullopt if it is none exactly.
std::optional<std::int64_t> exact_integer(double value);
std::optional<double> exact_real(std::int64_t value);

constexpr bool is_count(Spelling spelling) {
  return spelling == Spelling::kUnix || spelling == Spelling::kUnixMs;
}
/// The column's own spellings first, in their order; then any that is not a bare number.
std::optional<Recognised> recognise_for(const ColumnMap& column, std::string_view text);

/// Valid UTF-8 without NUL: what PostgreSQL takes as text.
bool is_clean_text(std::string_view bytes);

/// 36 characters in lower case from 36 or 32 of any case or (binary) from 16 bytes; else empty.
std::string canonical_uuid(std::string_view bytes, bool binary);

/// What the value is, in words, cut to a length fit for a log line.
std::string describe(const StoredValue& value);

}  // namespace switchback
