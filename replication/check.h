// Preflight of PostgreSQL: everything the bridge needs of server, role and tables, found by trying
// where that is possible. Changes nothing. Each failure carries the SQL or the setting that mends
// it. Called by the endpoint for `check`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "state/model/table_map.h"
#include "state/ports/endpoint.h"

namespace switchback {

/// Throws Error only if the server cannot be reached at all.
std::vector<Finding> check_postgres(const std::string& conninfo, const Mapping& mapping,
                                    std::string_view store);

}  // namespace switchback
