// How a bridge comes to PostgreSQL and goes. Everything is created in one transaction, so that
// after a crash either all of it is there or nothing. Called by the endpoint; each function needs a
// connection that is not in a transaction. Names carry the bridge, so that several can share a
// database.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "replication/connection.h"
#include "state/model/table_map.h"

namespace switchback {

/// The statements that install_postgres() would run now; empty if all is in place. Repairs too: a
/// missing or wrongly set fence, a table missing from the publication.
std::vector<std::string> plan_postgres_install(Connection& connection, const Mapping& mapping,
                                               std::string_view store);

/// Schema switchback, fences, publication, gate rows (closed at epoch 1 unless there), application
/// triggers off while the gate is closed. Idempotent; leaves an existing gate's state alone.
void install_postgres(Connection& connection, const Mapping& mapping, std::string_view store);

/// One SQL text that takes every trace of the bridge and store off, for people and for
/// remove_postgres(). Idempotent; restores what the load dropped and the application's triggers.
std::string postgres_removal_script(const Mapping& mapping, std::string_view store);

/// Runs the script. Throws Error(kBusy) while a sidecar still reads the slot.
void remove_postgres(Connection& connection, const Mapping& mapping, std::string_view store);

/// Statements that switch the application's triggers on the flowing tables of `tables` off and
/// remember how they were. While the gate is closed.
std::vector<std::string> plan_triggers_off(Connection& connection, const Mapping& mapping,
                                           const std::vector<TableId>& tables);
/// Statements that switch the remembered ones on again and forget them. When the gate opens.
std::vector<std::string> plan_triggers_on(Connection& connection, const Mapping& mapping,
                                          const std::vector<TableId>& tables);

}  // namespace switchback
