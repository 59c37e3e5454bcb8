// The elements of one record, level by level, with what is remembered of each. Both directions of
// the lens begin here. Private to it; pure.
#pragma once

#include <string>
#include <vector>

#include "watchers/files/document.h"
#include "watchers/files/lens.h"
#include "watchers/files/lens_plan.h"

namespace switchback {

struct Element {
  std::uint16_t level = 0;
  std::uint32_t parent = 0;  // index of the enclosing element; 0 for the record itself
  Document::Node node{};
  std::string name;         // its name in a map
  bool in_array = false;    // it has a place
  std::uint32_t index = 0;  // in its container
  Mark mark;                // filled where the collection remembers
  MadeUp made;
};

/// In document order, parents before children, the record first. `problems` gets a line for each
/// place that holds no container where elements were expected.
std::vector<Element> find_elements(const LensPlan& plan, const RecordInput& record,
                                   std::vector<std::string>& problems);

/// Gives each element what it had in `before` (nullptr: nothing), and what is still missing anew.
void remember(const LensPlan& plan, const RecordInput& record, const RecordMemory* before,
              Identities& identities, std::vector<Element>& elements);

RecordMemory memory_of(const LensPlan& plan, const std::vector<Element>& elements);

Mark record_mark(const LensPlan& plan, const RecordInput& record);

}  // namespace switchback
