// The keys whose change this SQLite side could not take, in a table beside the data, written in the
// transaction that passes them. Used by the sink's one thread; must not outlive its database.
// Throws SQLite::Exception.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "watchers/sqlite/prepared.h"

namespace switchback {

class SqliteQuarantine {
 public:
  explicit SqliteQuarantine(SQLite::Database& database);

  std::uint64_t open() const { return open_; }
  bool has(const std::string& table, const std::string& key);
  /// recount() after the last one.
  void add(const std::string& table, const std::string& key, const std::string& reason);
  /// A later change of the key was applied.
  void end(const std::string& table, const std::string& key);
  void end_all(const std::string& table);
  /// Counts again: after add(), and after a rollback.
  void recount();

 private:
  SQLite::Database& database_;
  SQLite::Statement has_;
  SQLite::Statement add_;
  SQLite::Statement end_;
  SQLite::Statement end_all_;
  std::uint64_t open_ = 0;
};

/// Open entries, for whoever has no connection of its own; 0 while nothing is installed. Throws
/// Error.
std::uint64_t count_quarantined(const std::filesystem::path& database);

}  // namespace switchback
