// Files as the target of the reverse flow. A batch's changes are sorted by record (the ledger knows
// which record a row lives in, the lens which one a new row belongs to), put through the lens,
// spliced into their files and replaced through the journal with the position: all files of a batch
// or none. Only the bytes of what changed change. While a large file is rewritten the next changes
// gather in the source, so that rewrites keep up with any rate. One thread.
#pragma once

#include <filesystem>
#include <memory>

#include "state/model/document_map.h"
#include "state/ports/change_sink.h"

namespace switchback {

std::unique_ptr<ChangeSink> open_files_sink(std::shared_ptr<const Mapping> mapping,
                                            std::shared_ptr<const DocumentMap> documents,
                                            std::filesystem::path ledger);

}  // namespace switchback
