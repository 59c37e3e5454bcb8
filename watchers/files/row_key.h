// Rows and their keys as bytes: how the ledger knows a row without keeping it. Equal keys are equal
// bytes, and bytes become a key again, since a row that is gone has nothing else left. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "state/base/hash128.h"
#include "state/model/chunk.h"

namespace switchback {

/// A kind, and a number or a length and text, per cell.
std::string row_bytes(const Chunk& chunk, std::span<const Cell> cells);
/// Of the change's key, as row_bytes() has it.
std::string key_bytes(const Chunk& chunk, const Change& change, std::uint16_t key_width);
/// The key of rows that have none: `key_width` NULLs.
std::string no_key(std::uint16_t key_width);
/// Of the whole change: an upsert's row, or a misfit's key and reason.
Hash128 row_hash(const Chunk& chunk, const Change& change);

/// Appends the cells that `bytes` were made from. Throws Error(kInternal) if they were not.
void add_cells(std::string_view bytes, Chunk& out);

}  // namespace switchback
