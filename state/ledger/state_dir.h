// The state directory: where a sidecar keeps its lock, token, flip journal, audit log, backups and
// spool files. 0700, because the token in it may flip. The lock file makes a second sidecar on the
// same directory impossible; the kernel frees it with the process. One owner; const functions may
// be called by any thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "state/base/unique_fd.h"

namespace switchback {

class StateDir {
 public:
  /// Creates the folder, if missing, with mode 0700. Throws Error(kDisk) if it cannot, and
  /// Error(kUsage) with the command to run if others may look into an existing one: it is not
  /// changed behind the user's back, since `state_dir` may name a folder of something else.
  static StateDir open(const std::filesystem::path& path);

  /// Takes the directory for this process until the object goes. Throws Error(kRefused) naming the
  /// process that holds it.
  void lock();

  /// The process that holds the lock on `path` now, if any. For programs that only look.
  static std::optional<pid_t> holder(const std::filesystem::path& path);

  /// What changes through the admin server need: 64 hexadecimal digits, made at the first call and
  /// kept in `token` (0600).
  std::string token() const;
  /// The token of an existing directory; empty if there is none. For the command line.
  static std::string read_token(const std::filesystem::path& path);

  /// Throws Error(kDisk) that says which, if the directory vanished, was replaced, became read-only
  /// or has no room. Called before anything that could not be undone without it.
  void probe() const;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }

 private:
  explicit StateDir(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  UniqueFd lock_;
};

}  // namespace switchback
