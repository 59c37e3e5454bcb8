// The SQL that notes every touched key in the log, whatever statement the application runs.
// Triggers run inside the application's own SQLite, whose version nobody knows, so their text uses
// old syntax and built-in functions only; and inside its conflict clauses (OR IGNORE, OR REPLACE),
// so the log has no constraint that such a clause could act on. Pure: what must stand in a database
// follows from mapping and schema alone, which is how a trigger that somebody changed is noticed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "state/model/table_map.h"
#include "watchers/sqlite/schema.h"

namespace switchback {

/// A trigger as it stands in sqlite_schema.
struct CaptureTrigger {
  std::string name;
  std::string table;   // the application's
  std::string create;  // CREATE TRIGGER …, exactly as SQLite keeps it

  friend bool operator==(const CaptureTrigger&, const CaptureTrigger&) = default;
};

/// CREATE TABLE of the log, with room for keys of `key_width` columns.
std::string create_log_sql(std::uint16_t key_width);

/// What captures one mapped table: after each kind of write the row's key (on UPDATE the old one
/// too), and before INSERT and UPDATE the keys of the rows that share a unique index's key with the
/// new row, because REPLACE deletes those without firing a delete trigger. Throws Error(kData) if
/// `table` lacks a mapped key column.
std::vector<CaptureTrigger> capture_triggers(const TableMap& map, const SqliteTable& table);

}  // namespace switchback
