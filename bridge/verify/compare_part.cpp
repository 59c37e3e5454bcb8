#include "bridge/verify/compare_part.h"

#include <fmt/format.h>

#include <algorithm>

#include "bridge/verify/differences.h"

namespace switchback {
namespace {

constexpr int kMostRounds = 12;

std::string words_of(const TableMap& map, const std::vector<Difference>& differences) {
  std::string out = fmt::format("{} {}", qualified_name(map), differences.front().key);
  for (const Difference& one : differences) {
    if (one.column.empty()) continue;
    out += fmt::format(" {}: old {}, postgres {};", one.column, one.old_value, one.postgres_value);
  }
  if (differences.front().sort == DifferenceSort::kMissingInOld) out += " is missing in old;";
  if (differences.front().sort == DifferenceSort::kMissingInPostgres) {
    out += " is missing in postgres;";
  }
  return out + " " + differences.front().cause;
}

/// Takes out what somebody has in hand already.
void leave_known(const VerifySides& sides, TableId table, std::vector<Trail::Differs>& rows) {
  if (rows.empty() || !sides.quarantine) return;
  const auto book = sides.quarantine();
  std::erase_if(rows, [&](const Trail::Differs& row) {
    return std::any_of(book.begin(), book.end(), [&](const QuarantineEntry& entry) {
      return entry.table == table && entry.key == row.key;
    });
  });
}

}  // namespace

ComparedPart compare_part(const VerifySides& sides, const Pace& pace, RowReader& old_side,
                          RowReader& postgres, const Trail::Part& part) {
  const TableMap& map = sides.mapping->table(part.table);
  const bool old_primary = sides.primary == Side::kOld;
  Suspects suspects(sides, pace, map, old_primary ? old_side : postgres,
                    old_primary ? postgres : old_side);
  suspects.leave_what_moves();
  ComparedPart out;
  suspects.tell(
      [&](const SeenApart& seen) {
        const auto differences = differences_of(sides, map, seen);
        // Columns that mean the same may still be stored apart; then nothing is to be told.
        if (differences.empty()) return;
        out.differing.push_back({differences.front().key, words_of(map, differences)});
      },
      [&](const SeenApart& seen) { return is_meant(sides, map, seen, postgres); });
  out.again = suspects.follow(part.keys, kMostRounds);
  leave_known(sides, part.table, out.differing);
  return out;
}

}  // namespace switchback
