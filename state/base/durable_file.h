// Small files that must survive a crash whole: the flip journal, the token, the removal scripts.
// Every small file of ours is replaced through here, but the run folder's `primary` (run_dir.h).
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace switchback {

/// Replaces `path` with `contents` so that after any crash it holds either the old or the new
/// bytes: write a temporary sibling, fsync, rename, fsync the folder. When it returns, the new
/// contents are durable. Throws Error(kDisk); then the file is as it was, or (if only the folder's
/// sync failed) possibly already the new one.
void replace_file(const std::filesystem::path& path, std::string_view contents, mode_t mode);

/// The whole file, or an empty string if there is none. Throws Error(kDisk) on any other failure.
/// Never for a store's own files: SQLite databases are opened through SQLite only.
std::string read_file(const std::filesystem::path& path);

/// Creates the folder, if missing, with `mode`, and its parents; throws Error(kDisk). One that is
/// there keeps its mode.
void make_folder(const std::filesystem::path& path, mode_t mode);

}  // namespace switchback
