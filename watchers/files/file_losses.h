// Test builds: a power failure as a store of files sees it. Remembers what was written, renamed,
// removed or given another mode and is not synced yet; when a failpoint's "power" strikes, a random
// part of it is taken back before the process ends: a new file is torn or gone, an old one is back
// under its name, a mode is what it was. It knows what this process did only. Called where files
// are made durable (journal, fence). Thread-safe. Nothing in release builds.
#pragma once

#include <sys/types.h>

#include <filesystem>

namespace switchback::file_losses {

#ifdef SWITCHBACK_TEST_BUILD
/// If SWITCHBACK_POWER_LOSS=1; else none of the others remembers anything. Idempotent.
void arm();
/// A file was made and written.
void written(const std::filesystem::path& path);
/// Its contents, mode and owner are on disk; its name is not.
void synced(const std::filesystem::path& path);
/// `from` is about to take the place of `to`; with an empty `from`, `to` is about to go.
void replacing(const std::filesystem::path& from, const std::filesystem::path& to);
void folder_synced(const std::filesystem::path& folder);
/// The file or folder is about to get another mode.
void changing_mode(const std::filesystem::path& path, mode_t before, mode_t after);
void modes_synced();
#else
inline void arm() {}
inline void written(const std::filesystem::path&) {}
inline void synced(const std::filesystem::path&) {}
inline void replacing(const std::filesystem::path&, const std::filesystem::path&) {}
inline void folder_synced(const std::filesystem::path&) {}
inline void changing_mode(const std::filesystem::path&, mode_t, mode_t) {}
inline void modes_synced() {}
#endif

}  // namespace switchback::file_losses
