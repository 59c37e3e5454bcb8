// A log sequence number of PostgreSQL: a byte position in its write-ahead log.
// https://www.postgresql.org/docs/15/datatype-pg-lsn.html
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace switchback {

struct Lsn {
  std::uint64_t value = 0;
  friend auto operator<=>(const Lsn&, const Lsn&) = default;
};

/// "16/B374D848".
std::string to_string(Lsn lsn);
/// Takes exactly what to_string() makes, in either case; nullopt for anything else.
std::optional<Lsn> parse_lsn(std::string_view text) noexcept;

}  // namespace switchback
