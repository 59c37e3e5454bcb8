// What follows from the foreign keys between mapped tables: the order in which tables can be
// written, and whether groups may flip alone. Pure; used by the mapping builder.
#pragma once

#include "bridge/config.h"
#include "replication/catalog.h"
#include "state/model/table_map.h"

namespace switchback {

/// Fills TableMap::foreign_keys from the catalog, whose tables are found by schema and name. Throws
/// Error(kUsage) if a table that is not mapped refers to a mapped one: changes of the mapped one
/// would stumble over its rows.
void link_foreign_keys(const Config& config, const std::vector<CatalogTable>& catalog,
                       Mapping& mapping);

/// Sets TableMap::rank: parents lower than children, equal within a cycle.
void rank_tables(Mapping& mapping);

/// Throws Error(kUsage) unless every group is closed under foreign keys and within one store.
void check_groups(const Config& config, const Mapping& mapping);

}  // namespace switchback
