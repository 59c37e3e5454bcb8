// PostgreSQL's binary NUMERIC: base-10000 digits with a weight, a sign and a display scale.
// Decimals of any size go through as digits; no double is ever in between. Pure and thread-safe.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/numeric.c
// (numeric_send)
#pragma once

#include <string>
#include <string_view>

namespace switchback {

/// Appends the binary form of a canonical decimal (optional '-', digits, optional '.' and digits;
/// or "NaN"). Throws Error(kData) on anything else and on more digits than the type has.
void encode_numeric(std::string_view decimal, std::string& out);

/// The canonical decimal, with as many digits after the point as the value's display scale. Throws
/// Error(kData) on infinities, which no old store can hold, and on bytes that are no NUMERIC.
std::string decode_numeric(std::string_view bytes);

}  // namespace switchback
