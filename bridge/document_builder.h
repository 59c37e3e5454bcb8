// The part of the mapping builder that speaks of files: for every table that takes from a
// collection, which column comes from where, linked into what watchers/files executes. Pure; called
// by build_mapping() once the tables have their ids and ranks.
#pragma once

#include "bridge/config.h"
#include "state/model/document_map.h"
#include "state/model/table_map.h"

namespace switchback {

/// Throws Error(kUsage) that names file, line, table and column.
DocumentMap build_documents(const Config& config, const Mapping& mapping);

}  // namespace switchback
