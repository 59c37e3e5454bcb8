// The part of the configuration that speaks of files: [collection.N], and tables and columns that
// take from one. Used by the configuration parser only; single thread.
#pragma once

#include <string>

#include "bridge/config.h"
#include "bridge/config_reader.h"

namespace switchback {

void read_collections(const ConfigReader& root, Config& config);

/// What the bridge writes itself never belongs to a collection, whatever its patterns say. Called
/// when state_dir and run_dir are known.
void except_own_folders(Config& config);

/// The collection that `from` names ("N" or "N:/path"), or nullptr if it speaks of a SQLite table.
const CollectionConfig* collection_of(const Config& config, const std::string& from);

/// from, order, at, deletes, where of a table that takes from a collection.
void read_document_table(const ConfigReader& table, const std::string& from,
                         const CollectionConfig& collection, TableConfig& out);

ColumnConfig read_document_column(const ConfigReader& columns, const std::string& name);

/// Names become parts of SQL object names, of lines and of file names.
void check_name(const ConfigReader& reader, std::string_view key, const std::string& name);
std::vector<Spelling> read_spellings(const ConfigReader& column);

}  // namespace switchback
