// Takes a change over from one chunk into another, for sinks that keep what they could not apply
// yet. Stateless.
#pragma once

#include <cstdint>
#include <span>

#include "state/model/chunk.h"

namespace switchback {

/// Appends the change with all its cells to `to`; the cells of the columns in `nulls` become NULL.
void copy_change(const Chunk& from, const Change& change, std::uint16_t key_width, Chunk& to,
                 std::span<const std::uint16_t> nulls = {});

}  // namespace switchback
