// What `switchback doctor --fix` does: one way on from a log that forked, a store that was replaced
// or restored, a table that was rebuilt or altered, a slot that is gone. Who is primary is settled
// first; then both sides begin a new history, all is compared from the primary and the other side
// made like it, and only then does the other side's position say that it follows. Each step may be
// repeated, and whatever is cut off in between is begun again by the same command, with the same
// primary; until then no pump flows. Called by the supervisor, which has no pump meanwhile; one
// thread.
#pragma once

#include <stop_token>

#include "bridge/columns_record.h"
#include "bridge/epoch_record.h"
#include "bridge/mend.h"
#include "bridge/mending_record.h"
#include "bridge/site.h"
#include "state/ledger/flip_journal.h"
#include "state/ledger/state_dir.h"

namespace switchback {

/// What a bridge remembers beside its two sides.
struct BridgeRecords {
  const StateDir& state;
  FlipJournal& journal;
  EpochRecord& epochs;
  ColumnsRecord& columns;
  MendingRecord& mending;
};

/// The primary is whom the order names, else whom one that was cut off was for, else who is so
/// beyond doubt. Throws Error(kRefused) if nobody can tell; then nothing has changed. Throws what a
/// side throws.
MendReport mend_bridge(const Site& site, const BridgeRecords& records, const MendOrder& order,
                       std::stop_token stop, const Sweep::Report& tell);

/// Throws Error(kHistory) if a comparison in full was begun and has not come to its end; asks the
/// sink that changes would flow into.
void require_settled(ChangeSink& sink);

/// Who is primary beyond doubt: the one that stands open at the highest epoch there ever was.
std::optional<Side> undoubted_primary(const GateState& old_side, const GateState& postgres,
                                      Epoch highest);

}  // namespace switchback
