// Fills a Status when no sidecar answers, from what both sides durably say. Stateless; each call
// opens connections of its own. Called by `switchback status`.
#pragma once

#include <vector>

#include "bridge/config.h"
#include "bridge/status.h"
#include "replication/connection.h"

namespace switchback {

/// What can be found out without a sidecar. A side that cannot be reached is shown as down.
Status status_without_sidecar(const Config& config);

/// About how many rows the mapped tables have in PostgreSQL; empty before the load has begun.
std::vector<TableStatus> table_rows(Connection& connection, const std::string& bridge);

}  // namespace switchback
