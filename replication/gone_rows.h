// What the trigger on a partition says of a TRUNCATE of it alone, which the server does not
// publish: the keys of its rows, in messages of the same transaction (meta.cpp writes them). Pure.
// Used by the assembler.
#pragma once

#include <string_view>

#include "state/model/chunk.h"
#include "state/model/table_map.h"

namespace switchback {

inline constexpr std::string_view kGoneRows = "gone ";

/// Appends a delete for each key of `content` (what follows kGoneRows: {"schema", "table": of the
/// partitioned table, "keys": [[text of each key column], …]}), if its table is one of `store`'s
/// that flow. Throws Error(kData) on anything else.
void append_gone_rows(std::string_view content, const Mapping& mapping, std::string_view store,
                      Chunk& out);

}  // namespace switchback
