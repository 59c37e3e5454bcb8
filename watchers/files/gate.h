// The gate of a store of files. Files know no transactions, so what holds writers off is what the
// application and the kernel offer: its own lock file, a read lease, mode bits; what cannot be
// proven is said to be best effort. lock() ends with looks at all stamps until two in a row agree:
// mark() is the ledger's position then. close() takes the write bits, which are the fence, and
// reads every file again: one that is unlike the mark keeps the gate open. Door and epoch are a row
// of the ledger.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "state/model/document_map.h"
#include "state/ports/write_gate.h"

namespace switchback {

std::unique_ptr<WriteGate> open_files_gate(std::shared_ptr<const Mapping> mapping,
                                           std::shared_ptr<const DocumentMap> documents,
                                           const std::filesystem::path& ledger,
                                           const std::string& group);

}  // namespace switchback
