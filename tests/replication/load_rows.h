// Rows in memory and a reader of them, for the tests of the load and for the process that dies in
// one. One thread.
#pragma once

#include <fmt/format.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "state/ports/row_reader.h"
#include "tests/support/test_mapping.h"

namespace switchback {

struct Row {
  std::int64_t id;
  std::string text;         // parent: name; child: amount
  std::int64_t parent = 0;  // child only; 0 is NULL
  bool misfit = false;
};
using Rows = std::map<TableId, std::vector<Row>>;

class MemoryReader final : public RowReader {
 public:
  MemoryReader(const Rows& rows, std::size_t page, std::uint64_t estimate)
      : rows_(rows), page_(page), estimate_(estimate) {}

  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override {
    const auto& rows = rows_.at(table);
    std::size_t at = 0, end = rows.size();
    if (!cursor.after.empty()) std::istringstream(cursor.after) >> at >> end;
    for (std::size_t n = 0; n < page_ && at < end; ++n, ++at) add(table, rows[at], out);
    cursor.after = fmt::format("{} {}", at, end);
    cursor.done = at == end;
    return {};
  }
  std::vector<ScanCursor> parts(TableId table, unsigned at_most) override {
    const std::size_t size = rows_.at(table).size();
    if (at_most < 2) return {{}};
    return {{fmt::format("0 {}", size / 3)}, {fmt::format("{} {}", size / 3, size)}};
  }
  Window fetch(TableId, const Chunk&, Chunk&) override { return {}; }
  std::uint64_t estimate(TableId table) override { return estimate_ + rows_.at(table).size(); }

 private:
  static void add(TableId table, const Row& row, Chunk& out) {
    out.add(Cell::integer(row.id));
    if (row.misfit) return out.end_misfit(table, "an id of the wrong kind");
    if (table == kParent) {
      out.add(out.add_text(Kind::kText, row.text));
      out.add(Cell::boolean(true));
      out.add(out.add_text(Kind::kJson, row.text == "bad json" ? "{" : "{\"a\": 1}"));
      out.add(Cell::timestamp(1'700'000'000'000'000));
    } else {
      out.add(row.parent == 0 ? Cell::null() : Cell::integer(row.parent));
      out.add(out.add_text(Kind::kDecimal, row.text));
    }
    out.end_upsert(table);
  }

  const Rows& rows_;
  const std::size_t page_;
  const std::uint64_t estimate_;
};

/// Several stretches, so that a load that was killed goes on in the middle.
inline Rows many_rows() {
  Rows rows;
  for (int i = 1; i <= 9000; ++i) {
    rows[kParent].push_back({i, std::string(2000, 'x')});
    rows[kChild].push_back({i, "12.50", i});
  }
  return rows;
}

}  // namespace switchback
