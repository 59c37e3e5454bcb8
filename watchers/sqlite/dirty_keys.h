// The keys of a batch that are still to be read, each in one of a few lanes. A batch may touch more
// keys than memory should hold, so they live in a private SQLite file that is unlinked at once and
// written to only when its page cache is full; a small batch never leaves memory. Keys are told
// apart by type and bytes (1, '1' and 1.0 are three keys), because they may name different rows.
// Used by one thread.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/table_map.h"
#include "watchers/sqlite/codec.h"

namespace switchback {

/// Replaces `out` by the key's bytes. Integer keys sort by their value.
void encode_key(std::span<const StoredValue> key, std::string& out);
/// Views into `bytes`.
void decode_key(std::string_view bytes, std::vector<StoredValue>& key);

class DirtyKeys {
 public:
  enum class Lane : std::uint8_t {
    kUnread,    // logged, not looked at yet
    kPresent,   // the row is there, its upsert is still to be written
    kGone,      // the row is not there, its delete is still to be written
    kCascaded,  // refers to a key that goes, by ON DELETE CASCADE: leaves before it
    kPutBack,   // refers to a key that went: its upsert is still to be written, after that delete
  };

  DirtyKeys(const std::filesystem::path& folder, std::size_t tables);

  /// True if the key was not in the lane yet.
  bool add(Lane lane, TableId table, std::string_view key);
  bool contains(Lane lane, TableId table, std::string_view key);
  void remove(Lane lane, TableId table, std::string_view key);
  /// Moves up to `most` keys, in order, from the lane into `out` (cleared first).
  void take(Lane lane, TableId table, std::size_t most, std::vector<std::string>& out);
  std::uint64_t count(Lane lane, TableId table) const { return count_at(lane, table); }
  bool empty(Lane lane) const;
  void clear();

 private:
  std::uint64_t& count_at(Lane lane, TableId table) {
    return counts_[static_cast<std::size_t>(lane)][index(table)];
  }
  const std::uint64_t& count_at(Lane lane, TableId table) const {
    return counts_[static_cast<std::size_t>(lane)][index(table)];
  }
  /// Binds lane, table and key, runs the statement and returns how many rows it changed.
  int run(SQLite::Statement& statement, Lane lane, TableId table, std::string_view key);

  std::filesystem::path folder_;
  std::vector<std::uint64_t> counts_[5];
  SQLite::Database database_;
  std::unique_ptr<SQLite::Statement> add_, remove_, find_, select_, trim_;
};

}  // namespace switchback
