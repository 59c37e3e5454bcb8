// Preflight of a SQLite store: what would keep the bridge from working, or from noticing a write,
// found by trying rather than by reading flags. Each failure names its fix. Leaves nothing behind:
// writes are tried in a transaction that is rolled back. Called by the SQLite endpoint's check().
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "state/model/table_map.h"
#include "state/ports/endpoint.h"

namespace switchback {

/// Throws nothing: what goes wrong is a finding.
std::vector<Finding> check_sqlite(const std::filesystem::path& path, const Mapping& mapping,
                                  const std::string& store);

}  // namespace switchback
