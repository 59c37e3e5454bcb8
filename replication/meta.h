// The schema `switchback` in PostgreSQL: the gate rows, checkpoints, quarantine and what the load
// and the installer must remember. Shared by all bridges of a database; every row carries its
// bridge. Installed by replication/install, read and written by the sink, the gate and the load.
// Stateless.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "replication/connection.h"
#include "state/model/phase.h"
#include "state/model/position.h"
#include "state/model/table_map.h"

namespace switchback {

/// The statements that create what is missing of the schema, in order; empty if all is there.
std::vector<std::string> plan_meta(Connection& connection);

/// True if the gate rows exist, which are created in the same transaction as everything else.
bool has_meta(Connection& connection);

/// Every table of the schema, children of nothing: for removal, object by object.
std::vector<std::string_view> meta_tables();
/// Every function of the schema, with its argument types.
std::vector<std::string_view> meta_functions();

/// "schema"."table", quoted.
std::string quoted_name(const TableMap& table);
/// schema.table without quotes: how meta tables and messages name a table.
std::string plain_name(const TableMap& table);

/// An array literal of text items, to be bound as a parameter.
std::string text_array(const std::vector<std::string>& items);

/// What a store's sink has committed here; {} if nothing yet.
Position read_checkpoint(Connection& connection, const std::string& bridge,
                         const std::string& store);

/// Writes the phase that people and programs read in switchback.group_state. The gate and epoch are
/// the gate's alone. Autocommitted unless a transaction is open.
void note_phase(Connection& connection, std::string_view bridge, std::string_view group,
                Phase phase);

}  // namespace switchback
