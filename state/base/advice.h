// What an error tells the operator to type when the two sides no longer follow from one another: a
// history that forked, a store that was replaced, a table that was altered. One text, so that every
// side says the same. Used wherever such an Error is thrown; constants only.
#pragma once

namespace switchback {

inline constexpr const char* kDoctorFix =
    "`switchback doctor` says what both sides have; `switchback doctor --fix` compares them in "
    "full, makes the other side as the primary is, and goes on";

/// For a table that was altered under the bridge.
inline constexpr const char* kAfterAlter =
    "undo it; or make the same change on the other side (and in switchback.toml where it names the "
    "column), and then `switchback doctor --fix`; nothing is lost meanwhile";

}  // namespace switchback
