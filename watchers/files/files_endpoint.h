// A set of JSON files and folders as an endpoint. install() makes the ledger with the
// beginning of its log; nothing is added to the application's folders but the fence's mode bits
// while PostgreSQL is primary.
#pragma once

#include <filesystem>
#include <memory>

#include "state/model/document_map.h"
#include "state/ports/endpoint.h"
#include "watchers/files/watch.h"

namespace switchback {

struct FilesOptions {
  std::filesystem::path ledger;        // in the state directory
  std::filesystem::path spool_folder;  // for the unlinked files of large batches
  WatchTimes times = {};
};

std::unique_ptr<Endpoint> open_files(FilesOptions options, std::shared_ptr<const Mapping> mapping,
                                     std::shared_ptr<const DocumentMap> documents);

}  // namespace switchback
