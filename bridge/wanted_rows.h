// Rows of which the source sent a part only and of which the target has nothing: an update that
// left a large value alone, of a row that the target once turned away. Their current state is read
// from the source and applied before the batch is committed. It may be newer than the batch; then
// the change that made it so is still to come, and comes over it. Called by the pump, on its
// thread.
#pragma once

#include <vector>

#include "state/ports/change_sink.h"
#include "state/ports/row_reader.h"

namespace switchback {

void supply_wanted_rows(const Chunk& wanted, const Position& boundary, RowReader& reader,
                        ChangeSink& sink, std::vector<Reject>& rejects);

}  // namespace switchback
