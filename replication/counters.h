// Automatic keys of PostgreSQL: the sequences behind serial and identity columns of the mapped
// tables. They do not follow keys that rows brought along, so each flip raises them. Called by the
// gate.
#pragma once

#include <vector>

#include "replication/connection.h"
#include "state/ports/write_gate.h"

namespace switchback {

/// The last value handed out or present as a key, per flowing table's column that has a sequence.
std::vector<Counter> read_counters(Connection& connection, const Mapping& mapping,
                                   const std::vector<TableId>& tables);

/// Raises each sequence to the highest of its own last value, the keys present and `counters`.
/// Never lowers one. setval() is not undone by a rollback; a raised counter does no harm.
void raise_counters(Connection& connection, const Mapping& mapping,
                    const std::vector<TableId>& tables, const std::vector<Counter>& counters);

}  // namespace switchback
