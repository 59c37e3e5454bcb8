// Makes rows of the other side as the primary has them, for repairs: what the other side had is
// written to a file first, and what cannot be written there whole is left alone and goes into that
// side's quarantine book instead. Used by `doctor --fix` and `verify --repair`, on the thread that
// has the sink.
#pragma once

#include <string_view>

#include "bridge/kept_rows.h"
#include "bridge/reapply.h"
#include "state/model/table_map.h"

namespace switchback {

/// What the reason of such an entry begins with; another try would overwrite the row, so there is
/// none unless a person asks for it.
inline constexpr std::string_view kNotKept = "left as it is, since no copy of it could be kept: ";

/// `keys`, all of `map`, are applied again as the primary has them, but for those whose row at the
/// other side is one that cannot be expressed: these are among the rejects. Otherwise as reapply().
Reapplied repair_rows(const TableMap& map, const Chunk& keys, const Position& applied,
                      RowReader& of_primary, RowReader& of_other, ChangeSink& sink, KeptRows& kept);

}  // namespace switchback
