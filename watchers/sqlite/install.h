// Puts capture and the bridge's own tables into an application's database, and takes every trace
// off again. Each way is one transaction: a crash leaves the database with all of it or with
// nothing. Capture is put in once; if a part of it is missing later, changes may have gone unseen,
// so install says so instead of repairing it in silence. Used by the SQLite endpoint; not
// thread-safe.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "state/model/position.h"
#include "state/model/table_map.h"
#include "watchers/sqlite/capture.h"

namespace switchback {

class SqliteInstall {
 public:
  SqliteInstall(std::filesystem::path path, std::shared_ptr<const Mapping> mapping,
                std::string store);

  /// The statements that install() would run now; none if everything is in place. Throws what
  /// install() would throw.
  std::vector<std::string> plan();

  /// Throws Error(kHistory) if there was an install whose capture is no longer whole,
  /// Error(kRefused) if the database belongs to another bridge, Error(kBusy) if writers or readers
  /// left no gap.
  void install();

  /// Capture begun anew, for the tables as they are now and whatever was logged before: a new
  /// history. The gate's rows stay, and the fence is as they say. Returns where the log begins.
  Position renew();

  /// SQL that takes every trace off: for the sqlite3 shell.
  std::string removal_script();
  /// Idempotent.
  void remove();

 private:
  std::vector<std::string> missing_statements(SQLite::Database& database);
  void require_same_bridge(SQLite::Database& database);

  std::filesystem::path path_;
  std::shared_ptr<const Mapping> mapping_;
  std::string store_;
};

/// The capture triggers that must stand in the database, of all tables of the store that flow.
/// Throws Error(kData) if the database lacks a mapped table or key column.
std::vector<CaptureTrigger> expected_capture(SQLite::Database& database, const Mapping& mapping,
                                             const std::string& store);

/// The tables whose capture is not exactly what it should be: a trigger is missing or says
/// something else (as after a migration tool rebuilt the table, or added a unique index). Empty if
/// all is well. Reads the schema, so call it when `PRAGMA schema_version` has moved, inside the
/// snapshot.
std::vector<TableId> torn_capture(SQLite::Database& database, const Mapping& mapping,
                                  const std::string& store);

/// Throws Error(kHistory), with the names of the tables, unless the capture of all is whole.
void require_capture(SQLite::Database& database, const Mapping& mapping, const std::string& store);

}  // namespace switchback
