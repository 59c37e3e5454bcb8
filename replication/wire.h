// Big-endian integers, as every binary form of PostgreSQL has them. Pure and thread-safe.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace switchback {

template <std::integral T>
void append_big_endian(std::string& out, T value) {
  const auto bits = static_cast<std::make_unsigned_t<T>>(value);
  char bytes[sizeof(T)];
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[i] = static_cast<char>(bits >> (8 * (sizeof(T) - 1 - i)) & 0xff);
  }
  out.append(bytes, sizeof(T));
}

/// Writes over the bytes at `at`, which must exist.
template <std::integral T>
void put_big_endian(std::string& out, std::size_t at, T value) {
  const auto bits = static_cast<std::make_unsigned_t<T>>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out[at + i] = static_cast<char>(bits >> (8 * (sizeof(T) - 1 - i)) & 0xff);
  }
}

/// `bytes` must have at least sizeof(T) of them; the caller has checked.
template <std::integral T>
T read_big_endian(std::string_view bytes) {
  std::make_unsigned_t<T> bits = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bits = static_cast<std::make_unsigned_t<T>>((static_cast<std::uint64_t>(bits) << 8) |
                                                static_cast<unsigned char>(bytes[i]));
  }
  return static_cast<T>(bits);
}

}  // namespace switchback
