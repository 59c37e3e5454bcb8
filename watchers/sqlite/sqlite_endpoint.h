// A SQLite database as an endpoint: made by the program for every command that touches it. Opens
// nothing by itself; each part opens a connection of its own.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "state/model/table_map.h"
#include "state/ports/endpoint.h"

namespace switchback {

struct SqliteOptions {
  std::filesystem::path path;
  std::string store;                   // its name in the mapping
  std::filesystem::path spool_folder;  // for the unlinked files of large batches
};

std::unique_ptr<Endpoint> open_sqlite(SqliteOptions options,
                                      std::shared_ptr<const Mapping> mapping);

}  // namespace switchback
