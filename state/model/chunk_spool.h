// A queue of chunks between the reading of a snapshot and the sending of it: a source reads a batch
// into the spool, closes its snapshot, and hands the chunks out afterwards, so that no snapshot
// stays open across a network wait. Chunks stay in memory up to a limit; those beyond it go to an
// unlinked file, which vanishes with the process whatever happens to it. First in, first out.
// Used by one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "state/base/unique_fd.h"
#include "state/model/chunk.h"

namespace switchback {

class ChunkSpool {
 public:
  static constexpr std::size_t kMemoryLimitBytes = std::size_t{8} << 20;

  /// `folder` is used only once something exceeds the limit.
  explicit ChunkSpool(std::filesystem::path folder, std::size_t limit_bytes = kMemoryLimitBytes);

  /// Takes the chunk's contents and leaves an empty chunk (with memory to fill again) in its place.
  /// Throws Error(kDisk) when the file cannot grow; then the chunk is not in the spool.
  void push(Chunk& chunk);
  /// Replaces `out` by the oldest chunk. False, and `out` untouched, if there is none.
  bool pop(Chunk& out);
  void clear() noexcept;

  bool empty() const { return in_memory_.empty() && read_at_ == write_at_; }
  /// Bytes that are in the file now.
  std::uint64_t spilled_bytes() const { return write_at_ - read_at_; }

 private:
  void spill(const Chunk& chunk);
  bool unspill(Chunk& out);
  void rewind_file() noexcept;
  void recycle(Chunk&& chunk);

  std::filesystem::path folder_;
  std::size_t limit_bytes_;

  // Everything in memory is older than everything in the file.
  std::deque<Chunk> in_memory_;
  std::size_t memory_bytes_ = 0;
  std::vector<Chunk> spare_;
  UniqueFd file_;
  std::uint64_t read_at_ = 0;
  std::uint64_t write_at_ = 0;
  std::string image_;
};

}  // namespace switchback
