// Test builds: a power failure as a SQLite database sees it. A shim around SQLite's file layer
// remembers, for every database, -wal and -journal file, what each write since the last sync put
// in place of what; and which files were deleted or made without their folder being synced. When a
// failpoint's "power" strikes, a random part of it (whole files, or single 512-byte sectors: torn
// and reordered writes) is taken back before the process ends. The -shm is never durable and not
// looked at. It knows the writes of this process only: the application, whose process id
// SWITCHBACK_POWER_PEER gives, is killed first, and where another process wrote after us, nothing
// is taken back (a sync of theirs would have covered ours). Thread-safe.
#pragma once

namespace switchback {

/// Makes the shim SQLite's default file layer if SWITCHBACK_POWER_LOSS=1; before any database is
/// opened. SWITCHBACK_POWER_SEED makes the losses repeatable. Idempotent; nothing in release
/// builds.
#ifdef SWITCHBACK_TEST_BUILD
void arm_power_loss();
#else
inline void arm_power_loss() {}
#endif

}  // namespace switchback
