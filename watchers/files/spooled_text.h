// Text that is too large to be in memory beside what it is made from: written to an unlinked file
// while it grows, read back when what it was made from is gone. Used to rewrite large files. One
// thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "state/base/unique_fd.h"

namespace switchback {

class SpooledText {
 public:
  /// `folder`: where the file is. All throw Error(kDisk).
  explicit SpooledText(std::filesystem::path folder);
  void append(std::string_view text);
  /// All of it, once.
  std::string take();

 private:
  void flush();

  const std::filesystem::path folder_;
  UniqueFd file_;
  std::string buffer_;
  std::size_t written_ = 0;
};

}  // namespace switchback
