// Turns the configuration and what both sides say of their tables into the mapping that endpoints
// execute. Pure: three descriptions in, one mapping or one Error out that names table, column and
// cure. Called by every command that touches a side, and again after a restart, so equal input
// gives equal table ids.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bridge/config.h"
#include "replication/catalog.h"
#include "state/model/document_map.h"
#include "state/model/table_map.h"
#include "watchers/sqlite/schema.h"

namespace switchback {

struct StoreSchema {
  std::string store;
  std::vector<SqliteTable> tables;
};

struct BuiltMapping {
  Mapping mapping;
  DocumentMap documents;              // the collections, if there are any
  std::vector<std::string> warnings;  // what stays behind, in words
};

/// Table ids are the order of (schema, table). Throws Error(kUsage) if configuration and tables do
/// not fit together.
BuiltMapping build_mapping(const Config& config, const std::vector<StoreSchema>& stores,
                           const std::vector<CatalogTable>& catalog);

/// A constraint that an initial load took off for its duration.
struct DroppedKey {
  std::string schema, table;
  std::string name;
  std::string definition;  // pg_get_constraintdef()
};

/// Puts primary keys and foreign keys that are off during a load back into the catalog's picture,
/// so that a load that was killed builds the same mapping when it resumes. Throws Error(kData) on a
/// key definition it cannot read.
std::vector<CatalogTable> overlay_dropped(std::vector<CatalogTable> catalog,
                                          const std::vector<DroppedKey>& dropped);

/// One line per table, with its id and key: what must not change while capture is installed, since
/// log entries name tables by id. A sidecar compares it with what it stored at install.
std::string mapping_outline(const Mapping& mapping);

}  // namespace switchback
