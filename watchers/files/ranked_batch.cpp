#include "watchers/files/ranked_batch.h"

#include <algorithm>

#include "state/model/copy_change.h"
#include "watchers/files/row_key.h"

namespace switchback {
namespace {

constexpr std::size_t kOpenBytes = std::size_t{256} << 10;
constexpr std::size_t kMemoryBytes = std::size_t{16} << 20;

}  // namespace

RankedBatch::RankedBatch(std::shared_ptr<const Mapping> mapping,
                         const std::filesystem::path& spool_folder)
    : mapping_(std::move(mapping)) {
  const std::size_t tables = mapping_->tables.size();
  const std::size_t limit = kMemoryBytes / std::max<std::size_t>(2 * tables, 1);
  for (std::size_t i = 0; i < tables; ++i) {
    deletes_.emplace_back(spool_folder, limit);
    upserts_.emplace_back(spool_folder, limit);
  }
  const auto parents_first = mapping_->parents_first();
  for (auto id = parents_first.rbegin(); id != parents_first.rend(); ++id) {
    order_.push_back(&deletes_[index(*id)]);
  }
  for (const TableId id : parents_first) order_.push_back(&upserts_[index(id)]);
}

void RankedBatch::added(Queue& queue) {
  if (queue.open.bytes() >= kOpenBytes) queue.spool.push(queue.open);
}

void RankedBatch::add(const Chunk& from, const Change& change) {
  Queue& queue =
      change.op == Op::kDelete ? deletes_[index(change.table)] : upserts_[index(change.table)];
  copy_change(from, change, mapping_->table(change.table).key_width, queue.open);
  added(queue);
}

void RankedBatch::add_delete(TableId table, std::string_view key) {
  Queue& queue = deletes_[index(table)];
  add_cells(key, queue.open);
  queue.open.end_delete(table);
  added(queue);
}

void RankedBatch::add_misfit(TableId table, std::string_view key, std::string_view reason) {
  Queue& queue = upserts_[index(table)];
  add_cells(key, queue.open);
  queue.open.end_misfit(table, reason);
  added(queue);
}

bool RankedBatch::next(Chunk& out) {
  for (Queue* queue : order_) {
    if (!queue->open.empty()) queue->spool.push(queue->open);
    if (queue->spool.pop(out)) return true;
  }
  return false;
}

void RankedBatch::clear() {
  for (Queue* queue : order_) {
    queue->spool.clear();
    queue->open.clear();
  }
}

}  // namespace switchback
