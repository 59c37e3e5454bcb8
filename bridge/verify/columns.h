// Which columns of a table a comparison looks at, and how a value is shown to a person. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"

namespace switchback {

/// Indexes of the columns that both sides have and the bridge carries.
std::vector<std::uint16_t> compared_columns(const TableMap& map);
/// The others, with the reason: "total (generated in PostgreSQL)".
std::vector<std::string> columns_not_compared(const TableMap& map);

/// Both values in words; of long ones the part in which they begin to differ.
std::pair<std::string, std::string> value_words(const Cell& a, const Chunk& of_a, const Cell& b,
                                                const Chunk& of_b);

/// The whole of a value in words.
std::string whole_value(const Cell& cell, const Chunk& chunk);

/// Whether a reader can be asked for this key: a misfit's key may hold what its column cannot.
bool can_be_fetched(const TableMap& map, std::span<const Cell> key, const Chunk& chunk);

}  // namespace switchback
