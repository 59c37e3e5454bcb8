// A SQLite database with the test tables and capture installed, in either journal mode, for the
// tests of the forward path out of SQLite.
// One thread.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "state/model/chunk.h"
#include "state/model/table_map.h"
#include "state/ports/change_source.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_mapping.h"
#include "watchers/sqlite/log.h"

namespace switchback {

/// A throw-away folder with one database in it. `journal_mode` is "wal" or "delete".
class StoreFixture {
 public:
  StoreFixture(const std::string& journal_mode, std::shared_ptr<const Mapping> mapping,
               const std::string& schema);
  StoreFixture(const StoreFixture&) = delete;
  StoreFixture& operator=(const StoreFixture&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path path() const { return folder_ / "app.db"; }
  const std::shared_ptr<const Mapping>& mapping() const { return mapping_; }
  /// The application's own connection.
  SQLite::Database& application() { return *application_; }
  void exec(const std::string& sql) { application_->exec(sql); }
  std::int64_t number(const std::string& sql) { return application_->execAndGet(sql).getInt64(); }
  /// Closes the application's connection and opens it again.
  void reopen();
  void close() { application_.reset(); }
  LogMark install_entry();
  /// The newest entry of the log.
  LogMark log_end();
  /// So many new rows of `parent`, in one transaction.
  void insert_parents(int count);

 private:
  void install();

  test::TempFolder folder_;
  std::shared_ptr<const Mapping> mapping_;
  std::unique_ptr<SQLite::Database> application_;
};

/// An application on a connection of its own that does `once` again and again, `pause` apart, until
/// the thread is stopped.
std::jthread again_and_again(const std::filesystem::path& database, std::chrono::milliseconds pause,
                             std::function<void(SQLite::Database&)> once);

/// What a sink would hold: rows as text by key, with the foreign keys of the mapping checked at
/// every single change, as PostgreSQL does.
class Replica {
 public:
  explicit Replica(std::shared_ptr<const Mapping> mapping) : mapping_(std::move(mapping)) {}

  void apply(const Chunk& chunk);
  std::size_t changes() const { return changes_; }
  /// The current rows of the database in the same form.
  static std::map<std::string, std::string> rows_of(SQLite::Database& database,
                                                    const Mapping& mapping);
  const std::map<std::string, std::string>& rows() const { return rows_; }

 private:
  void upsert(const Chunk& chunk, const Change& change);
  void remove(const Chunk& chunk, const Change& change);

  std::shared_ptr<const Mapping> mapping_;
  std::map<std::string, std::string> rows_;       // "child [7]" -> "7|1|2.5"
  std::map<std::string, std::string> parent_of_;  // "child [7]" -> "parent [1]"
  std::map<std::string, int> children_of_;
  std::size_t changes_ = 0;
};

/// Pulls until a boundary came; applies all chunks. nullopt if there was nothing until the
/// deadline.
std::optional<Position> pull_batch(ChangeSource& source, Replica& replica,
                                   std::chrono::milliseconds limit = std::chrono::seconds(20));

}  // namespace switchback
