// An online copy of a SQLite database, through SQLite's backup API: while the application goes on
// reading and writing. The copy is checked, durable and complete before its name exists; a manifest
// beside it says what it is. Called before the first capture.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace switchback {

struct BackupManifest {
  std::filesystem::path source;
  std::filesystem::path file;
  std::uint64_t bytes = 0;
  std::string xxh3;     // XXH3-128 of the file, 32 hexadecimal digits
  std::string made_at;  // 2026-11-21T04:00:00Z
};

/// Copies `source` to `destination` (replacing a file there) and then writes the manifest, named
/// as the destination but ending in ".json": if it is there, the backup is whole. In
/// rollback-journal mode the copy is read in slices, because writers wait for readers there; a
/// writer between two slices makes SQLite begin anew, so the slices grow, up to 0.8 s. Throws
/// Error: kBusy if the application left no gap even so, kDisk, kData if the copy does not pass its
/// check.
BackupManifest backup_sqlite(const std::filesystem::path& source,
                             const std::filesystem::path& destination);

}  // namespace switchback
