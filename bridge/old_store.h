// The one place that knows what kinds of old store there are: a SQLite database, or files. It opens
// either as an endpoint and says in words where it lies; everything else of the program speaks to
// the endpoint. Stateless.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bridge/config.h"
#include "bridge/mapping_builder.h"
#include "state/base/error.h"
#include "state/ports/endpoint.h"

namespace switchback {

/// Its name in the mapping. Throws Error(kUsage) if the configuration has several stores: one
/// bridge carries one.
std::string old_store_name(const Config& config);

/// Where it lies, for people: the database, or the folder of the files (several: the first).
std::filesystem::path old_store_place(const Config& config);

/// What is wrong if nothing lies there; empty if something does.
std::string old_store_missing(const Config& config);

/// Which side an error speaks of: PostgreSQL, its slot or its stream is named as the object; all
/// else, a table's name alone too, counts as the old store's.
Side side_of(const Error& error);

/// What the old store says of its tables; nothing of files, which have none. Throws Error.
std::vector<StoreSchema> read_old_schema(const Config& config);

/// `documents` are the collections of that mapping.
std::unique_ptr<Endpoint> open_old_store(const Config& config,
                                         std::shared_ptr<const Mapping> mapping,
                                         DocumentMap documents);

}  // namespace switchback
