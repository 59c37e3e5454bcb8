// How dates and timestamps are spelled in old stores, read and written. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "state/model/table_map.h"

namespace switchback {

/// Microseconds since 1970 UTC of `text` in exactly this spelling (kUnix and kUnixMs take digits,
/// kSqlite also "infinity" and "-infinity"); nullopt if it is not one, or has digits finer than a
/// microsecond, which PostgreSQL would round away.
std::optional<std::int64_t> parse_timestamp(Spelling spelling, std::string_view text);
/// The spelling of `text` among all there are, tried in the enum's order, with its value.
struct Recognised {
  Spelling spelling;
  std::int64_t micros;
};
std::optional<Recognised> recognise_timestamp(std::string_view text);
/// `micros` in this spelling; nullopt if the spelling cannot hold it without loss (a fraction in
/// kTwitter, microseconds in kIsoMsZ, a year outside 0000–9999).
std::optional<std::string> format_timestamp(Spelling spelling, std::int64_t micros);

/// `micros` as `previous`, a kIso spelling with hours, minutes and seconds, is written: its
/// separator and its zone, with as much of a fraction as the value needs. nullopt if that cannot be
/// done.
std::optional<std::string> imitate_iso(std::string_view previous, std::int64_t micros);

/// Days since 1970 of "YYYY-MM-DD", "infinity" or "-infinity"; nullopt otherwise.
std::optional<std::int64_t> parse_date(std::string_view text);
/// nullopt for a year outside 0000–9999.
std::optional<std::string> format_date(std::int64_t days);

/// The name a configuration uses: "sqlite", "iso-ms-z", "iso", "twitter", "unix", "unix-ms".
std::optional<Spelling> parse_spelling(std::string_view name) noexcept;
std::string_view to_string(Spelling spelling) noexcept;

}  // namespace switchback
