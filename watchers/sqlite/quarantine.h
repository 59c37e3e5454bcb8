// The keys whose change this SQLite side could not take, in a table beside the data, written in the
// transaction that passes them. Used by the sink's one thread; must not outlive its database.
// Throws SQLite::Exception.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "state/ports/endpoint.h"

namespace switchback {

class SqliteQuarantine {
 public:
  explicit SqliteQuarantine(SQLite::Database& database);

  /// Entries that nobody has accepted.
  std::uint64_t open() const { return open_; }
  bool empty() const { return entries_ == 0; }
  bool has(const std::string& table, const std::string& key);
  /// recount() after the last one.
  void add(const std::string& table, const Reject& reject);
  /// A later change of the key was applied.
  void end(const std::string& table, const std::string& key);
  void end_all(const std::string& table);
  /// Counts again: after add(), and after a rollback.
  void recount();

 private:
  SQLite::Statement has_;
  SQLite::Statement add_;
  SQLite::Statement end_;
  SQLite::Statement end_all_;
  SQLite::Statement count_;
  std::uint64_t entries_ = 0;
  std::uint64_t open_ = 0;
};

/// All entries, for whoever has no connection of its own; none while nothing is installed. Throws
/// Error.
std::vector<QuarantineEntry> read_quarantine(const std::filesystem::path& database,
                                             const Mapping& mapping, const std::string& store);

}  // namespace switchback
