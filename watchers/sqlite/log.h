// Reading the log of dirty keys that the capture triggers write. Every read checks the history: the
// entry we stand on must still be there with its nonce, and no seq may be missing after it;
// otherwise the database is not the one the position was made in (a restored copy, a power loss
// that took commits back). The source calls it within its snapshots; the gate asks it for the end.
// A LogReader belongs to one thread and must not outlive its database.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "state/model/position.h"
#include "state/model/table_map.h"
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/prepared.h"

namespace switchback {

/// One entry's identity.
struct LogMark {
  std::int64_t seq = 0;
  std::int64_t nonce = 0;
  friend bool operator==(const LogMark&, const LogMark&) = default;
};

Position to_position(std::uint64_t history, const LogMark& mark);
LogMark to_mark(const Position& position);

class LogReader {
 public:
  /// Prepares its statements. Throws Error(kHistory) if there is no log in this database.
  LogReader(SQLite::Database& database, const Mapping& mapping, std::string store);

  /// The log's history number, from the meta table.
  std::uint64_t history();
  /// The entry written at install. Throws Error(kHistory) if it was pruned.
  LogMark install_entry();
  std::optional<LogMark> first();
  std::optional<LogMark> last();

  /// Throws Error(kHistory) unless the entry is there.
  void require(const LogMark& mark);

  /// A touched key; views live until the visit returns.
  using Visit = std::function<void(TableId, std::span<const StoredValue> key)>;
  /// Visits the entries after `mark` and moves `mark` to the last one visited. False if `enough`
  /// (asked now and then) ended it before the end. Throws Error(kHistory) if `mark` is not in the
  /// log or an entry is missing after it.
  bool read_after(LogMark& mark, const Visit& visit, const std::function<bool()>& enough);

 private:
  TableId table_of(std::int64_t number) const;
  [[noreturn]] void forked(const LogMark& mark, const char* what) const;

  const Mapping& mapping_;
  std::string store_;
  Prepared history_;
  Prepared install_;
  Prepared first_;
  Prepared last_;
  Prepared find_;
  Prepared after_;
  std::vector<StoredValue> key_;
};

}  // namespace switchback
