// Preflight of a store of files: what the bridge needs of its folders, files and user, found by
// trying where that is possible. Changes nothing. Each failure says what mends it. Called by the
// endpoint for `check`.
#pragma once

#include <memory>
#include <vector>

#include "state/model/document_map.h"
#include "state/model/table_map.h"
#include "state/ports/endpoint.h"

namespace switchback {

/// Throws Error(kDisk) if a folder cannot be listed.
std::vector<Finding> check_files(const Mapping& mapping,
                                 const std::shared_ptr<const DocumentMap>& documents);

}  // namespace switchback
