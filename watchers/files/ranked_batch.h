// A batch of changes in an order valid to apply one by one: deletes from the children up, then the
// rest from the parents down. Filled while files are looked at, handed out afterwards; what exceeds
// memory waits in unlinked files. One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/chunk_spool.h"
#include "state/model/table_map.h"

namespace switchback {

class RankedBatch {
 public:
  RankedBatch(std::shared_ptr<const Mapping> mapping, const std::filesystem::path& spool_folder);

  void add(const Chunk& from, const Change& change);
  /// `key` as row_key.h has it.
  void add_delete(TableId table, std::string_view key);
  void add_misfit(TableId table, std::string_view key, std::string_view reason);

  /// The next chunk; false if there is none left.
  bool next(Chunk& out);
  void clear();

 private:
  struct Queue {
    explicit Queue(const std::filesystem::path& folder, std::size_t limit) : spool(folder, limit) {}
    ChunkSpool spool;
    Chunk open;
  };
  void added(Queue& queue);

  const std::shared_ptr<const Mapping> mapping_;
  std::vector<Queue> deletes_, upserts_;  // by TableId
  std::vector<Queue*> order_;
};

}  // namespace switchback
