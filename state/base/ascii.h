// What a locale must not change. Stateless.
#pragma once

namespace switchback {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace switchback
