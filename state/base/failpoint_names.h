// The registry: each durable step has one name ending in ".before" and one in ".after". Sorted by
// folder. A tidy test compares it with the calls in the sources, and one test shows each was hit.
#pragma once

#include <array>
#include <string_view>

namespace switchback {

inline constexpr std::array kFailpointNames = std::to_array<std::string_view>({
    // state
    "file.sync.before",
    "file.sync.after",
    "file.rename.before",
    "file.rename.after",
    "file.folder_sync.before",
    "file.folder_sync.after",
    "flip.journal.decide.before",
    "flip.journal.decide.after",
    "flip.journal.clear.before",
    "flip.journal.clear.after",
});

}  // namespace switchback
