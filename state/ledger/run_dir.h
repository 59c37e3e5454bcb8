// The run folder: where the application (and any script) reads, without asking anybody, which side
// is primary. It is a hint; the fences are the truth. So the file is replaced by a plain rename
// without a sync, which would only make the pause of a flip longer: after a power loss the sidecar
// writes it anew from the gates. One thread at a time.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "state/model/phase.h"

namespace switchback {

struct PrimaryHint {
  Epoch epoch = 0;
  bool closing = false;  // a flip is locking: soon another side
  std::map<std::string, Side> groups;
};

/// One line: {"epoch":7,"state":"settled","groups":{"all":"old"}}
std::string to_line(const PrimaryHint& hint);

class RunDir {
 public:
  /// Creates the folder, if missing, with mode 0755. Throws Error(kDisk).
  static RunDir open(const std::filesystem::path& path);

  /// Makes `primary` say this. Does nothing if it does already; makes the folder again if somebody
  /// removed it. Throws Error(kDisk).
  void tell(const PrimaryHint& hint);

  std::filesystem::path primary_file() const { return path_ / "primary"; }

 private:
  explicit RunDir(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
};

}  // namespace switchback
