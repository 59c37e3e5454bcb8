// Where in a source we are, and in which history. Travels from a source through the pump into the
// target's own checkpoint, and back at the next start.
#pragma once

#include <cstdint>
#include <string>

namespace switchback {

/// Positions of one history are ordered by `value` (a log sequence number of SQLite's log, a scan
/// generation of files, an LSN of PostgreSQL); positions of different histories have no order.
/// `proof` is what the source wrote beside `value` and must still find there (SQLite's nonce), so
/// that a history which forked and grew again past `value` is noticed; 0 where none is needed.
struct Position {
  std::uint64_t history = 0;
  std::uint64_t value = 0;
  std::uint64_t proof = 0;

  /// True if a source at this position has passed `other`. False between histories.
  bool reaches(const Position& other) const {
    return history == other.history && value >= other.value;
  }
  friend bool operator==(const Position&, const Position&) = default;
};

/// "history:value" in hexadecimal and decimal, for logs and certificates.
std::string to_string(const Position& position);

}  // namespace switchback
