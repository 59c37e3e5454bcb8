// Rows of one side that a repair is about to overwrite or delete, one JSON line each, in a file of
// their own: what nobody else has is not thrown away unseen. Made when the first row comes. One
// thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>

#include "state/base/unique_fd.h"
#include "state/model/chunk.h"
#include "state/model/phase.h"
#include "state/model/table_map.h"

namespace switchback {

class KeptRows {
 public:
  /// The file will be in `folder`, named by the time.
  KeptRows(std::filesystem::path folder, Side of) : folder_(std::move(folder)), of_(of) {}

  /// Those of the chunk's changes that are rows, all of `map`. Durable when it returns; throws
  /// Error(kDisk).
  void add(const TableMap& map, const Chunk& rows);
  std::uint64_t count() const { return count_; }
  /// Empty if there was nothing to keep.
  const std::filesystem::path& path() const { return path_; }

 private:
  void begin();

  const std::filesystem::path folder_;
  const Side of_;
  std::filesystem::path path_;
  UniqueFd fd_;
  std::uint64_t count_ = 0;
};

}  // namespace switchback
