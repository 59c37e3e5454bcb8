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
    // bridge
    "flip.close.before",
    "flip.close.after",
    "flip.open.before",
    "flip.open.after",
    "state.probe_sync.before",
    "state.probe_sync.after",
    "run_dir.rename.before",
    "run_dir.rename.after",
    "audit.sync.before",
    "audit.sync.after",
});

}  // namespace switchback
