// A store of files as the origin of changes: watch, scan into the ledger's log, hand out the rows
// behind the position. start() refuses a position that the log does not hold; acknowledge() says up
// to where the log may be pruned. A file that cannot be read keeps its rows and is one of
// troubles(); the others flow. One thread, except for wake().
#pragma once

#include <chrono>
#include <filesystem>
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
  /// A file that cannot be read for less than this may be a write in progress, and no trouble yet.
  std::chrono::milliseconds being_written{1'000};
};

std::unique_ptr<ChangeSource> open_files_source(std::shared_ptr<const Mapping> mapping,
                                                std::shared_ptr<const DocumentMap> documents,
                                                FilesSourceOptions options);

}  // namespace switchback
