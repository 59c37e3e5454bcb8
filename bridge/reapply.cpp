#include "bridge/reapply.h"

#include <map>
#include <utility>

#include "state/model/copy_change.h"

namespace switchback {
namespace {

// Rows of any size come back at once.
constexpr std::size_t kMostKeysAtOnce = 64;

void count(const Chunk& rows, CurrentRows& counts) {
  for (const Change& change : rows.changes()) {
    ++(change.op == Op::kDelete ? counts.gone : counts.rows);
  }
}

}  // namespace

// The boundary comes with the last rows only: until then the sink keeps what may yet fit, such as a
// child whose parent comes after it.
CurrentRows apply_current_rows(const Chunk& keys, const Position& boundary, RowReader& reader,
                               ChangeSink& sink, std::vector<Reject>& rejects) {
  CurrentRows counts;
  std::map<TableId, Chunk> waiting;
  Chunk rows;
  const auto fetch = [&](TableId table, Chunk& of_table) {
    reader.fetch(table, of_table, rows);
    of_table.clear();
  };
  const auto apply = [&] {
    count(rows, counts);
    sink.apply(rows, rejects);
    rows.clear();
  };
  for (const Change& change : keys.changes()) {
    Chunk& of_table = waiting[change.table];
    copy_key(change.table, keys.row(change), keys, of_table);
    if (of_table.changes().size() < kMostKeysAtOnce) continue;
    fetch(change.table, of_table);
    if (rows.full()) apply();
  }
  for (auto& [table, of_table] : waiting) {
    if (of_table.empty()) continue;
    if (rows.full()) apply();
    fetch(table, of_table);
  }
  rows.boundary = boundary;
  apply();
  return counts;
}

Reapplied reapply(const Chunk& keys, const Position& applied, RowReader& reader, ChangeSink& sink,
                  std::vector<Reject> already) {
  Reapplied done;
  done.rejects = std::move(already);
  if (!keys.empty()) {
    static_cast<CurrentRows&>(done) = apply_current_rows(keys, applied, reader, sink, done.rejects);
  }
  sink.commit(applied, done.rejects);
  return done;
}

}  // namespace switchback
