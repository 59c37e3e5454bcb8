// A table with capture on it, and a copy of it that is kept up to date by nothing but what the log
// says: "for each logged key, take the row as it is now". Where table and copy differ, capture has
// missed something. Keys are told apart as the log tells them apart: 1, 1.0 and '1' are three.
// One thread.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>
#include <vector>

#include "state/model/table_map.h"

namespace switchback {

class CaptureCopy {
 public:
  /// `schema` makes the table t, among others. At most two key columns.
  CaptureCopy(const std::string& schema, std::vector<std::string> key);

  SQLite::Database& database() { return database_; }
  void exec(const std::string& sql) { database_.exec(sql); }
  /// The keys that are logged now, sorted: "1 'a'".
  std::string logged();
  /// Brings the copy up to date and empties the log.
  void catch_up();
  /// What table and copy do not have in common, empty if they are equal.
  std::string difference();
  /// exec(), catch_up(), difference().
  std::string after(const std::string& sql);

 private:
  std::string rows_only_in(const std::string& one, const std::string& other);

  SQLite::Database database_;
  std::vector<std::string> key_;
  std::string columns_;  // with their types
};

}  // namespace switchback
