// What verify compares of a row: its hash, or what stands for one where there is none. Stateless.
#pragma once

#include "state/model/chunk.h"
#include "state/model/meaning.h"

namespace switchback {

// No row's hash is likely to be one of these.
inline constexpr Hash128 kAbsentHash{0, 0};
inline constexpr Hash128 kMisfitHash{0, 1};  // of a row that cannot be expressed

inline Hash128 row_hash(const Change& change, const Chunk& chunk, RowHasher& hasher) {
  return change.op == Op::kMisfit ? kMisfitHash : hasher.row(chunk.row(change), chunk);
}

}  // namespace switchback
