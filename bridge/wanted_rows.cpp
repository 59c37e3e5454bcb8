#include "bridge/wanted_rows.h"

#include <map>

namespace switchback {
namespace {

// Rows of any size come back at once.
constexpr std::size_t kMostAtOnce = 64;

}  // namespace

void supply_wanted_rows(const Chunk& wanted, const Position& boundary, RowReader& reader,
                        ChangeSink& sink, std::vector<Reject>& rejects) {
  std::map<TableId, Chunk> keys;
  Chunk rows;
  const auto supply = [&](TableId table, Chunk& of_table) {
    rows.clear();
    reader.fetch(table, of_table, rows);
    of_table.clear();
    rows.boundary = boundary;
    sink.apply(rows, rejects);
  };
  for (const Change& change : wanted.changes()) {
    Chunk& of_table = keys[change.table];
    for (const Cell& cell : wanted.row(change)) of_table.add(copy_cell(cell, wanted, of_table));
    of_table.end_delete(change.table);
    if (of_table.changes().size() == kMostAtOnce) supply(change.table, of_table);
  }
  for (auto& [table, of_table] : keys) {
    if (!of_table.empty()) supply(table, of_table);
  }
}

}  // namespace switchback
