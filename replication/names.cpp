#include "replication/names.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace switchback {
namespace {

/// Room for both names and the hash within PostgreSQL's 63 bytes.
constexpr std::size_t kWordLimit = 18;

std::string word(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, kWordLimit)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      out += c;
    } else if (c >= 'A' && c <= 'Z') {
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += '_';
    }
  }
  return out;
}

std::uint64_t hash(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

}  // namespace

ObjectNames names_for(std::string_view bridge, std::string_view store) {
  // The length makes ("a", "b_c") and ("a_b", "c") differ.
  const std::uint64_t id = hash(fmt::format("{}:{}:{}", bridge.size(), bridge, store));
  const std::string name = fmt::format("switchback_{}_{}_{:08x}", word(bridge), word(store),
                                       static_cast<std::uint32_t>(id));
  // A key of its own for the lock, still the same for every process of the same bridge and store.
  return {name, name, static_cast<std::int64_t>(hash(name + ":sidecar"))};
}

}  // namespace switchback
