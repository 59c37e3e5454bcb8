// Takes a change, or a key, over from one chunk into another. Stateless.
#pragma once

#include <cstdint>
#include <span>

#include "state/model/chunk.h"

namespace switchback {

/// Appends the change with all its cells to `to`; the cells of the columns in `nulls` become NULL.
void copy_change(const Chunk& from, const Change& change, std::uint16_t key_width, Chunk& to,
                 std::span<const std::uint16_t> nulls = {});

/// Appends a key as chunks hold them, which is a delete.
void copy_key(TableId table, std::span<const Cell> key, const Chunk& from, Chunk& to);

}  // namespace switchback
