// A reader whose every read is a job on the pump's thread, between two of its batches: for files
// while PostgreSQL is primary, whose ledger the pump's sink holds for as long as a batch lasts. One
// thread, and the pump's.
#pragma once

#include <memory>

#include "bridge/supervisor.h"
#include "state/ports/row_reader.h"

namespace switchback {

/// Throws what Supervisor::with_pump() throws as well as what `reader` does.
std::unique_ptr<RowReader> read_between_batches(Supervisor& supervisor,
                                                std::unique_ptr<RowReader> reader);

}  // namespace switchback
