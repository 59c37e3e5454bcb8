#include "bridge/verify/last_look.h"

#include <set>

#include "bridge/verify/compare_part.h"

namespace switchback {
namespace {

using Clock = Deadline::Clock;

}  // namespace

LastLook::LastLook(Supervisor& supervisor, Trail& trail)
    : trail_(trail),
      live_(locked_sides(supervisor)),
      old_side_(live_.sides.make_reader(Side::kOld)),
      postgres_(live_.sides.make_reader(Side::kPostgres)) {
  for (RowReader* reader : {old_side_.get(), postgres_.get()}) {
    reader->nobody_writes();
    reader->asked_for_applied_only();
  }
  // Tables that were written to lately are the ones that will be asked for.
  std::set<TableId> tables{live_.sides.mapping->parents_first().front()};
  for (const Trail::Part& part : trail_.outstanding()) tables.insert(part.table);
  for (const TableId table : tables) {
    Chunk rows;
    for (RowReader* reader : {old_side_.get(), postgres_.get()}) reader->fetch(table, {}, rows);
  }
}

LockCompare LastLook::compare(Deadline deadline) {
  const auto begun = Clock::now();
  // The other half is for what follows.
  const Deadline enough(begun + (deadline.at() - begun) / 2);
  LockCompare out;
  out.outcome = LockCompare::Outcome::kSame;
  for (const Trail::Part& part : trail_.outstanding()) {
    if (enough.passed()) {
      out.outcome = LockCompare::Outcome::kNoTime;
      break;
    }
    const ComparedPart compared =
        compare_part(live_.sides, *live_.pace, *old_side_, *postgres_, part);
    trail_.part_done(part, compared.differing, compared.again);
    out.rows += part.keys.changes().size();
    for (const Trail::Differs& row : compared.differing) out.differing.push_back(row.words);
    if (!compared.again.empty()) out.outcome = LockCompare::Outcome::kNoTime;
  }
  if (!out.differing.empty()) out.outcome = LockCompare::Outcome::kDiffer;
  out.took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun);
  return out;
}

}  // namespace switchback
