#include "bridge/verify/differences.h"

#include <fmt/format.h>

#include <tuple>

#include "bridge/verify/causes.h"
#include "bridge/verify/columns.h"
#include "bridge/verify/row_pair.h"
#include "state/ports/change_sink.h"

namespace switchback {
namespace {

RowPair pair_of(Side primary, const SeenApart& seen) {
  if (primary == Side::kOld) return {seen.primary, seen.of_primary, seen.other, seen.of_other};
  return {seen.other, seen.of_other, seen.primary, seen.of_primary};
}

}  // namespace

std::vector<Difference> differences_of(const VerifySides& sides, const TableMap& map,
                                       const SeenApart& seen) {
  const RowPair pair = pair_of(sides.primary, seen);
  Difference difference;
  difference.key = key_text(seen.keys, seen.key);
  if (const auto misfit = pair.misfit()) {
    difference.sort = DifferenceSort::kMisfit;
    difference.cause = fmt::format("{}: {}", likely_cause(sides.primary, difference.sort), *misfit);
    return {difference};
  }
  if (!pair.both()) {
    difference.sort =
        pair.of_old == nullptr ? DifferenceSort::kMissingInOld : DifferenceSort::kMissingInPostgres;
    difference.cause = likely_cause(sides.primary, difference.sort);
    return {difference};
  }
  difference.cause = likely_cause(sides.primary, DifferenceSort::kValue);
  std::vector<Difference> out;
  for (const std::uint16_t i : pair.unequal(map)) {
    difference.column = map.columns[i].name;
    std::tie(difference.old_value, difference.postgres_value) =
        value_words(pair.old_row()[i], pair.old_chunk, pair.postgres_row()[i], pair.postgres_chunk);
    out.push_back(difference);
  }
  return out;
}

bool is_meant(const VerifySides& sides, const TableMap& map, const SeenApart& seen,
              RowReader& postgres) {
  const RowPair pair = pair_of(sides.primary, seen);
  return is_spelled_apart(map, pair, sides.same_in_postgres) ||
         is_nulled_orphan(*sides.mapping, map, pair, postgres);
}

}  // namespace switchback
