// What the changes of one record come to, row by row: a row inserted, updated twice and renamed is
// one change. Private to the lens; pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "state/model/chunk.h"
#include "watchers/files/lens_plan.h"

namespace switchback {

struct NetChange {
  std::uint16_t table = 0;  // index in Collection::tables
  bool deleted = false;
  bool born = false;                   // the row that had this key before is another's by now
  std::vector<Cell> key;               // the key the row had before, by which it is found
  std::vector<Cell> row;               // its cells now (the key first), or its last key if deleted
  std::vector<std::uint32_t> changes;  // of the chunk
};

/// In the order in which tables and rows appear first. Cells point into `chunk`.
std::vector<NetChange> net_changes(const LensPlan& plan, const Chunk& chunk,
                                   std::span<const std::uint32_t> changes);

}  // namespace switchback
