#include "bridge/repair_rows.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state/model/copy_change.h"

namespace switchback {

Reapplied repair_rows(const TableMap& map, const Chunk& keys, const Position& applied,
                      RowReader& of_primary, RowReader& of_other, ChangeSink& sink,
                      KeptRows& kept) {
  Chunk had;
  of_other.fetch(map.id, keys, had);
  kept.add(map, had);
  std::vector<Reject> rejects;
  std::set<std::string> left;
  for (const Change& change : had.changes()) {
    if (change.op != Op::kMisfit) continue;
    std::string key = key_text(had, had.row(change).first(map.key_width));
    if (!left.insert(key).second) continue;
    rejects.push_back(
        {map.id, std::move(key), std::string(kNotKept) + std::string(had.text(change.reason)), ""});
  }
  if (left.empty()) return reapply(keys, applied, of_primary, sink);
  Chunk others;
  for (const Change& change : keys.changes()) {
    const auto key = keys.row(change).first(map.key_width);
    if (left.contains(key_text(keys, key))) continue;
    copy_key(map.id, key, keys, others);
  }
  return reapply(others, applied, of_primary, sink, std::move(rejects));
}

}  // namespace switchback
