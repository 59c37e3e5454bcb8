// Identities that were made up for elements of documents ($uuid, $serial, $hash) are known to the
// ledger and to PostgreSQL only. When the ledger was lost and made anew, its elements have others
// than PostgreSQL's rows. Here they get those rows' back: an element is taken for the row that has
// the same contents and the same enclosing row, then, where as many of each are left inside one
// enclosing row, for the one in the same order. What is left keeps its new identity. Called by the
// endpoint after renew(), before both sides are compared in full. One thread.
#pragma once

#include <memory>

#include "state/model/document_map.h"
#include "state/ports/row_reader.h"
#include "watchers/files/ledger.h"

namespace switchback {

/// `others` reads the rows of the other side. Logs only what is contested. Throws Error(kBusy) if a
/// file is not as the ledger has it: look again, then repeat.
void adopt_identities(std::shared_ptr<const Mapping> mapping,
                      std::shared_ptr<const DocumentMap> documents, FilesLedger& ledger,
                      RowReader& others);

}  // namespace switchback
