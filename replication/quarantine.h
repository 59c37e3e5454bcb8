// The sink's book of keys that the target could not take (table switchback.quarantine): knows which
// are open, writes new ones and ends those whose key was applied, all in the sink's transaction.
// Keeps only hashes in memory. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "replication/pipeline.h"
#include "state/ports/endpoint.h"

namespace switchback {

class Quarantine {
 public:
  Quarantine(const Mapping& mapping, std::string store)
      : mapping_(mapping), store_(std::move(store)) {}

  /// Reads the open entries.
  void load(Connection& connection);
  /// Entries that nobody has accepted.
  std::uint64_t open() const { return entries_.size() - accepted_.size(); }

  /// The change was applied: an open entry of its keys ends with the transaction.
  void note_applied(const Chunk& chunk, const Change& change);
  /// Sends what the transaction's rejects and note_applied() ask for.
  void send(Pipeline& pipeline, std::span<const Reject> rejects);
  /// After COMMIT.
  void committed(Connection& connection);
  void rolled_back();

 private:
  struct Entry {
    std::string table, key, reason, sqlstate;
    bool accepted = false;
  };
  static std::uint64_t hash_of(std::string_view table, std::string_view key);
  void note_key(const TableMap& table, const Chunk& chunk, std::span<const Cell> key);
  void send_ended(Pipeline& pipeline, std::span<const Entry> ended);
  void send_new(Pipeline& pipeline, std::span<const Entry> entries);

  const Mapping& mapping_;
  const std::string store_;
  std::unordered_set<std::uint64_t> entries_;
  std::unordered_set<std::uint64_t> accepted_;  // of them

  // Of the open transaction.
  std::vector<Entry> ended_;                             // key alone
  std::vector<std::string> cleared_;                     // tables that were emptied
  std::vector<std::pair<std::uint64_t, bool>> written_;  // and whether it is accepted
};

/// All entries of the bridge.
std::vector<QuarantineEntry> read_quarantine(Connection& connection, const Mapping& mapping);

/// Text as a text column surely takes it: what is no UTF-8 becomes U+FFFD, and a key too long for
/// an index is cut and ends in a hash of the whole.
std::string storable_key(std::string_view key);
std::string storable_text(std::string_view text);

}  // namespace switchback
