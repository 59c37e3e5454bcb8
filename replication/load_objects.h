// What the load takes off empty tables so that rows stream in fast, and makes again afterwards with
// the same names and definitions: primary keys, unique constraints, indexes, checks, foreign keys.
// Everything is remembered in switchback.dropped_object in the transaction that drops it, and
// forgotten in the one that makes it. Called by InitialLoad; a connection belongs to one thread.
#pragma once

#include <string>
#include <vector>

#include "replication/connection.h"
#include "state/model/table_map.h"
#include "state/ports/change_sink.h"

namespace switchback {

struct DroppedObject {
  std::string table;  // qualified and quoted
  char sort = 'i';    // p primary key, u unique, x exclusion, i index, c check, f foreign key,
                      // t a finishing touch
  std::string name;
  std::string definition;            // statements that make it again
  std::string expression;            // of a check
  std::vector<std::string> columns;  // of keys on plain columns; else empty
};

/// Inside the caller's transaction: drops what can be dropped of `table`, foreign keys from other
/// mapped tables included. What something else depends on stays. Safe to repeat.
void drop_for_load(Connection& connection, const Mapping& mapping, std::string_view store,
                   const TableMap& table);

/// Inside the caller's transaction: drops the foreign keys of a table that keeps its other keys (a
/// partitioned one), so that neither order nor orphans matter to the copy.
void drop_foreign_keys_for_load(Connection& connection, const Mapping& mapping,
                                std::string_view store, const TableMap& table);

/// Inside the caller's transaction: drops the foreign keys of a table with orphans = "leave", for
/// good: only the removal of the bridge makes them again.
void leave_out_foreign_keys(Connection& connection, const Mapping& mapping, std::string_view store,
                            const TableMap& table);

/// What is still to be made: the primary keys, or all the rest; the costliest first, foreign keys
/// last and parents first.
std::vector<DroppedObject> dropped_objects(Connection& connection, const Mapping& mapping,
                                           std::string_view store, bool primary_keys);

/// What the tables still want when all is made, one statement each, none of which is in another's
/// way: ANALYZE, and for each GIN index the merging of what its list of new entries still holds.
/// (Those indexes stay during the copy: taking documents apart for them costs more than the copy
/// itself, and so both streams share that work, whereas an index build is one process.)
std::vector<DroppedObject> finishing_touches(Connection& connection, const Mapping& mapping,
                                             std::string_view store);

/// Makes one object in a transaction of its own. Rows that stand in its way are moved to quarantine
/// (foreign keys of orphans = "null": set to NULL), and it is tried again.
void make_object(Connection& connection, const Mapping& mapping, std::string_view store,
                 const DroppedObject& object);

/// Quarantine entries, inside the caller's transaction.
void insert_rejects(Connection& connection, const Mapping& mapping, std::string_view store,
                    std::span<const Reject> rejects);

}  // namespace switchback
