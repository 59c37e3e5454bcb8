// Moves rows out of the way of a constraint that the load is about to make: into quarantine by key
// and reason, gone from the table; the row itself stays in the old store. Called by make_object(),
// inside its transaction.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "replication/connection.h"
#include "replication/load_objects.h"
#include "state/model/table_map.h"

namespace switchback {

/// The table whose qualified, quoted name is `quoted` (or as regclass prints it), or null.
const TableMap* find_quoted(const Mapping& mapping, const std::string& quoted);

/// The condition on a row `t` of the table that another with the same values in these columns lies
/// before it ("<"), behind it (">") or anywhere ("<>"). COPY puts what was read later behind.
std::string has_twin(const TableMap& map, const std::vector<std::string>& columns,
                     std::string_view place);

/// True if rows were moved, so that making the object is worth another try; false if `error` is
/// nothing that moving rows can cure.
bool repair_for(Connection& connection, const Mapping& mapping, std::string_view store,
                const DroppedObject& object, const Error& error);

}  // namespace switchback
