// The 128-bit hash by which files, records, elements and rows are recognised again. Not against
// malice. Pure and thread-safe.
#pragma once

#include <xxhash.h>

#include <compare>
#include <cstdint>
#include <string_view>

namespace switchback {

struct Hash128 {
  std::uint64_t high = 0, low = 0;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
  /// Modulo 2^128: sums of the same hashes in any order are equal.
  Hash128& operator+=(const Hash128& other) {
    const std::uint64_t before = low;
    low += other.low;
    high += other.high + (low < before ? 1 : 0);
    return *this;
  }
};

inline Hash128 hash_of(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

}  // namespace switchback
