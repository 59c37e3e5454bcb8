// What must stay as it is in PostgreSQL for an earlier comparison to hold, one line for each thing:
// the fences, the publication, and what each mapped table is made of. A row of the catalog that was
// changed and put back has another xmin or oid, so that shows too. Read by the verifier before and
// after a comparison and now and then. Stateless; a connection belongs to one thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "replication/connection.h"
#include "state/model/table_map.h"

namespace switchback {

std::map<std::string, std::string> postgres_standing(Connection& sql, const Mapping& mapping,
                                                     const std::string& store);

/// Per mapped table of the store ("schema.table"): `name type` of each column, and
/// `PARTITION schema.table` of each that holds a part of its rows.
std::map<std::string, std::vector<std::string>> postgres_columns(Connection& sql,
                                                                 const Mapping& mapping,
                                                                 const std::string& store);

}  // namespace switchback
