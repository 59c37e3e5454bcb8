// Files as the target of the reverse flow. Changes are gathered by record (the ledger knows which
// record a row lives in, the lens which one a new row belongs to), put through the lens, spliced
// into their files and replaced through the journal with the position: all files of a batch or
// none. Rewrites of one file are coalesced: a commit may become durable later, with the next
// rewrite, and durable() says how far. One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "state/model/document_map.h"
#include "state/ports/change_sink.h"

namespace switchback {

struct FilesSinkOptions {
  std::filesystem::path ledger;
  std::filesystem::path spool_folder;
  std::chrono::milliseconds rewrite_every{200};
};

std::unique_ptr<ChangeSink> open_files_sink(std::shared_ptr<const Mapping> mapping,
                                            std::shared_ptr<const DocumentMap> documents,
                                            FilesSinkOptions options);

}  // namespace switchback
