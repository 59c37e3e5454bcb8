// A large file is in memory by as many bytes as it has, while it is looked at. Source, reader and
// verifier look by themselves, so they take turns at it. Whoever has the turn must not wait for the
// ledger's write lock: the scan takes its turn inside of it. Any thread.
#pragma once

#include <cstdint>
#include <mutex>

namespace switchback {

/// A file of more bytes is large.
constexpr std::int64_t kLargeFile = std::int64_t{8} << 20;

/// Holds the turn while it lives, if the file is large.
class LargeFileTurn {
 public:
  explicit LargeFileTurn(std::int64_t size) : turn_(the_turn_, std::defer_lock) {
    if (size > kLargeFile) turn_.lock();
  }

 private:
  static inline std::mutex the_turn_;  // of the process, as its memory is
  std::unique_lock<std::mutex> turn_;
};

}  // namespace switchback
