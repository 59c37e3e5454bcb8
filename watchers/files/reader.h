// Current rows of a store of files, for the load, the verifier and repairs: the rows of records
// that the ledger knows, as the files have them now. A row the ledger does not know yet is left
// out, so that every row that was read is one whose end the source will tell. One thread.
#pragma once

#include <filesystem>
#include <memory>

#include "state/model/document_map.h"
#include "state/ports/row_reader.h"

namespace switchback {

std::unique_ptr<RowReader> open_files_reader(std::shared_ptr<const Mapping> mapping,
                                             std::shared_ptr<const DocumentMap> documents,
                                             const std::filesystem::path& ledger);

}  // namespace switchback
