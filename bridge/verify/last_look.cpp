#include "bridge/verify/last_look.h"

#include <set>
#include <utility>

#include "bridge/verify/compare_part.h"

namespace switchback {
namespace {

using Clock = Deadline::Clock;

}  // namespace

LastLook::Ground LastLook::ground(const Supervisor& supervisor, const Trail& trail) {
  Ground now;
  now.dropped = trail.status().dropped;
  now.unexplained = supervisor.picture().pump.counts.unexplained;
  if (const auto site = supervisor.site()) now.footing = footing_of(*site);
  return now;
}

LastLook::LastLook(Supervisor& supervisor, Trail& trail, Ground ground)
    : supervisor_(supervisor),
      trail_(trail),
      ground_(std::move(ground)),
      live_(locked_sides(supervisor)),
      old_side_(live_.sides.make_reader(Side::kOld)),
      postgres_(live_.sides.make_reader(Side::kPostgres)) {
  for (RowReader* reader : {old_side_.get(), postgres_.get()}) {
    reader->nobody_writes();
  }
  // Tables that were written to lately are the ones that will be asked for.
  std::set<TableId> tables{live_.sides.mapping->parents_first().front()};
  for (const Trail::Part& part : trail_.outstanding()) tables.insert(part.table);
  for (const TableId table : tables) {
    Chunk rows;
    for (RowReader* reader : {old_side_.get(), postgres_.get()}) reader->fetch(table, {}, rows);
  }
  for (RowReader* reader : {old_side_.get(), postgres_.get()}) reader->asked_for_applied_only();
}

// Changed past what logs it, a row is in nobody's debt: only another full comparison finds it.
std::string LastLook::changed() const {
  const Ground now = ground(supervisor_, trail_);
  if (now.dropped != ground_.dropped) return trail_.status().why_dropped;
  if (now.unexplained != ground_.unexplained) {
    return "commits that capture saw nothing of changed the old store";
  }
  return what_moved(ground_.footing, now.footing);
}

LockCompare LastLook::compare(Deadline deadline) {
  const auto begun = Clock::now();
  if (const std::string why = changed(); !why.empty()) {
    LockCompare out;
    out.outcome = LockCompare::Outcome::kDiffer;
    out.differing.push_back("since the full comparison, " + why);
    return out;
  }
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
    // By then the server has let the writers go, so that what was read may be of two moments.
    if (deadline.passed()) {
      out.outcome = LockCompare::Outcome::kNoTime;
      break;
    }
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
