// Reads a file of a store as one state of it. An application may be in the middle of a write at any
// moment, so a read counts only if size, mtime, ctime (in nanoseconds) and inode are the same
// before and after. Symbolic links are never followed, neither as the file nor as a folder below
// the root. Used by scan, reader and sink. Stateless.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "state/base/unique_fd.h"

namespace switchback {

/// What stat(2) says of a file, to the nanosecond.
struct FileStamp {
  std::uint64_t device = 0, inode = 0;
  std::int64_t size = 0;
  std::int64_t mtime_ns = 0, ctime_ns = 0;
  mode_t mode = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

/// How names of files begin that are being written and not in place yet.
inline constexpr std::string_view kTemporaryPrefix = ".switchback~";

struct FileBytes {
  std::string bytes;
  FileStamp stamp;
};

enum class ReadOutcome : std::uint8_t {
  kRead,
  kAbsent,    // there is none
  kUnstable,  // it changed while it was read: try again
  kRefused,   // a symbolic link, a folder, a device
};

struct ReadResult {
  ReadOutcome outcome = ReadOutcome::kAbsent;
  FileBytes file;  // kRead
};

enum class FolderUse : std::uint8_t {
  kLook,   // to open or look at what is in it
  kWrite,  // to make, rename and remove what is in it
  kMake,   // likewise; missing folders below the root are made, owned and open as the one around
};

/// The folder that holds `path`, reached without following a link below the root; `path` becomes
/// its last part. An empty one, and errno, if there is none.
UniqueFd open_folder_of(const std::filesystem::path& root, std::string_view& path, FolderUse use);

/// An application deletes its files, and perhaps their folders; a store that is away as a whole is
/// not mounted or was moved: throws Error(kDisk) then. Another error is told where it is met.
void require_root(const std::filesystem::path& root);

/// `path` is below `root`. Throws Error(kDisk) on what is neither absent nor refused.
ReadResult read_store_file(const std::filesystem::path& root, std::string_view path);
/// Whether the path, or a folder on the way to it, is a symbolic link.
bool holds_link(const std::filesystem::path& root, std::string_view path);
/// The stamps of many files, one folder's after the other's. For one look: a folder that is
/// replaced meanwhile is not noticed.
class FileStamps {
 public:
  explicit FileStamps(std::filesystem::path root);
  /// nullopt if there is no regular file. Throws as above.
  std::optional<FileStamp> of(std::string_view path);

 private:
  const std::filesystem::path root_;
  std::string below_;
  UniqueFd folder_;
};
/// One file's.
std::optional<FileStamp> stamp_of(const std::filesystem::path& root, std::string_view path);

}  // namespace switchback
