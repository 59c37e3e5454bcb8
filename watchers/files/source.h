// A store of files as the origin of changes: watch, scan, stage in the ledger, hand out. One
// generation is on its way at a time; acknowledge() makes it the ledger's current one. start()
// knows from PostgreSQL's checkpoint whether a staged generation arrived. A file that cannot be
// read keeps its rows and is reported through `trouble`; the others flow. One thread, except for
// wake().
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "state/model/document_map.h"
#include "state/ports/change_source.h"
#include "watchers/files/scan.h"
#include "watchers/files/watch.h"

namespace switchback {

struct FilesSourceOptions {
  std::filesystem::path ledger;
  std::filesystem::path spool_folder;
  WatchTimes times;
  /// Called when the set of unreadable or held files changes; on the pump's thread.
  std::function<void(const std::vector<UnreadableFile>&)> trouble;
};

std::unique_ptr<ChangeSource> open_files_source(std::shared_ptr<const Mapping> mapping,
                                                std::shared_ptr<const DocumentMap> documents,
                                                FilesSourceOptions options);

}  // namespace switchback
