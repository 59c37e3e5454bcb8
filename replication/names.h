// The names of what a bridge installs in PostgreSQL. They carry the bridge and the store, so that
// several bridges can share a database.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace switchback {

inline constexpr std::string_view kMetaSchema = "switchback";
/// Prefix of pg_logical_emit_message() for echo marks ("echo") and drain markers ("drain").
inline constexpr std::string_view kMessagePrefix = "switchback";

struct ObjectNames {
  std::string publication;
  std::string slot;            // only [a-z0-9_], at most 63 bytes
  std::int64_t advisory_lock;  // held by the sink of the one sidecar
};

/// Other characters than [a-z0-9_] of the bridge's and store's names are replaced, and a hash of
/// the full names keeps two bridges apart.
ObjectNames names_for(std::string_view bridge, std::string_view store);

}  // namespace switchback
