#include "bridge/mending.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bridge/mapping_builder.h"
#include "bridge/open_gates.h"
#include "bridge/snapshot.h"
#include "state/base/advice.h"
#include "state/base/durable_file.h"
#include "state/base/failpoint.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using Door = GateState::Door;

constexpr std::chrono::seconds kLockWithin{30};

struct Claims {
  GateState old_side, postgres;
  Epoch highest = 0;

  const GateState& of(Side side) const { return side == Side::kOld ? old_side : postgres; }
  std::string words() const {
    return fmt::format("old is {} at epoch {}, postgres is {} at epoch {}, the highest was {}",
                       to_string(old_side.door), old_side.epoch, to_string(postgres.door),
                       postgres.epoch, highest);
  }
};

GateState look_at(const Site& site, Side side) {
  return site.of(side).make_gate(site.group())->inspect(Deadline::in(kLookWithin));
}

// A fence that was torn is put back closed.
GateState once_mended(GateState gate) {
  if (gate.door == Door::kTorn) gate.door = Door::kClosed;
  return gate;
}

// Before anything is renewed: the other side would lose what this one is about to forget.
void require_whole_primary(const Site& site, const Claims& claims, const MendOrder& order,
                           const MendingRecord& mending) {
  std::optional<Side> primary = order.primary;
  if (const auto begun = mending.pending(); begun && !primary) primary = begun->primary;
  if (!primary) {
    primary =
        undoubted_primary(once_mended(claims.old_side), once_mended(claims.postgres),
                          std::max({claims.highest, claims.old_side.epoch, claims.postgres.epoch}));
  }
  if (primary) site.of(*primary).require_whole();
}

Claims look_at_both(const Site& site, const BridgeRecords& records, const MendOrder& order) {
  Claims claims{look_at(site, Side::kOld), look_at(site, Side::kPostgres),
                records.epochs.highest()};
  require_whole_primary(site, claims, order, records.mending);
  // A table that was rebuilt lost its fence. Putting it back as the side's own record says changes
  // nothing about who is primary.
  if (claims.old_side.door == Door::kTorn) {
    site.old_side->renew();
    claims.old_side = look_at(site, Side::kOld);
  }
  if (claims.postgres.door == Door::kTorn) {
    site.postgres->install();
    claims.postgres = look_at(site, Side::kPostgres);
  }
  claims.highest = std::max({claims.highest, claims.old_side.epoch, claims.postgres.epoch});
  return claims;
}

Side primary_of(const Claims& claims, const MendOrder& order, const MendingRecord& mending) {
  if (order.primary) return *order.primary;
  if (const auto begun = mending.pending()) return begun->primary;
  const auto claimed = undoubted_primary(claims.old_side, claims.postgres, claims.highest);
  if (claimed) return *claimed;
  throw Error(ErrorKind::kRefused, Retry::kNever,
              "it is not certain which side is right, and the other one would be made like it: " +
                  claims.words(),
              {.next = "`switchback doctor` shows what only one of them has; then `switchback "
                       "doctor --fix --primary old`, or --primary postgres"});
}

// The one that closes does so first, as in a flip: in between both refuse.
Epoch settle_gates(const Site& site, const Claims& claims, Side primary) {
  const bool as_it_was =
      undoubted_primary(claims.old_side, claims.postgres, claims.highest) == primary &&
      claims.of(primary).door == Door::kOpen;
  const Epoch epoch = as_it_was ? claims.highest : claims.highest + 1;
  const auto closing = site.of(other(primary)).make_gate(site.group());
  const auto opening = site.of(primary).make_gate(site.group());
  const auto is = [](WriteGate& gate, GateState state) {
    return gate.inspect(Deadline::in(kLookWithin)) == state;
  };
  if (!is(*closing, {Door::kClosed, epoch})) {
    closing->make_ready_to_close();
    const Deadline deadline = Deadline::in(kLockWithin);
    if (!closing->lock(deadline) || !closing->close(epoch, deadline)) {
      throw Error(ErrorKind::kBusy, Retry::kLater,
                  fmt::format("{} is in use and could not be closed", to_string(other(primary))),
                  {.next = "`switchback doctor --fix` again at a quieter moment"});
    }
  }
  if (!is(*opening, {Door::kOpen, epoch})) opening->open(epoch, {closing->counters()});
  return epoch;
}

void record_position(Endpoint& side, const Position& position) {
  const auto sink = side.make_sink();
  sink->applied();
  sink->commit(position, {});
}

void require_loaded(const Site& site, MendingRecord& mending) {
  if (load_done(site)) return;
  mending.end();
  throw Error(ErrorKind::kRefused, Retry::kNever, "the initial load has not come to its end",
              {.next = "`switchback abandon`, then `switchback run` loads anew"});
}

}  // namespace

std::optional<Side> undoubted_primary(const GateState& old_side, const GateState& postgres,
                                      Epoch highest) {
  const auto stands_open = [&](const GateState& gate) {
    return gate.door == Door::kOpen && gate.epoch == highest;
  };
  if (stands_open(old_side) != stands_open(postgres)) {
    return stands_open(old_side) ? Side::kOld : Side::kPostgres;
  }
  // A flip was cut off after one side had closed and before the other opened.
  const bool both_closed = old_side.door == Door::kClosed && postgres.door == Door::kClosed;
  if (!both_closed || old_side.epoch == postgres.epoch) return std::nullopt;
  const Side last = old_side.epoch > postgres.epoch ? Side::kOld : Side::kPostgres;
  return std::max(old_side.epoch, postgres.epoch) == highest ? std::optional(last) : std::nullopt;
}

void require_settled(ChangeSink& sink) {
  if (sink.applied() != kUnsettled) return;
  throw Error(ErrorKind::kHistory, Retry::kNever,
              "a comparison of both sides in full was begun and has not come to its end",
              {.next = kDoctorFix});
}

MendReport mend_bridge(const Site& site, const BridgeRecords& records, const MendOrder& order,
                       std::stop_token stop, const Sweep::Report& tell) {
  const Claims claims = look_at_both(site, records, order);
  MendReport report;
  report.primary = primary_of(claims, order, records.mending);
  const Side to = other(report.primary);
  log_warning(fmt::format("mending: {}; {} is primary", claims.words(), to_string(report.primary)));

  const TablesSeen tables = tables_of(site);
  // From here on the gates alone do not say who is right.
  records.mending.begin({report.primary, order.by});
  site.postgres->install();
  require_loaded(site, records.mending);
  const Position from_old = site.old_side->renew();
  site.old_side->adopt(*site.postgres->make_reader());
  // From here on no pump flows, in whichever direction, until the end is reached.
  record_position(*site.old_side, kUnsettled);
  record_position(*site.postgres, kUnsettled);
  report.epoch = settle_gates(site, claims, report.primary);
  records.journal.clear();
  records.epochs.note(report.epoch, report.epoch);
  const Position from_postgres = site.postgres->renew();

  replace_file(records.state.file("remove-postgres.sql"), site.postgres->removal_script(), 0600);
  replace_file(records.state.file("remove-old.sql"), site.old_side->removal_script(), 0600);
  const auto sink = site.of(to).make_sink();
  sink->applied();
  static_cast<Resynced&>(report) =
      resync(site, report.primary, *sink, records.state.file("kept"), std::move(stop), tell);

  replace_file(records.state.file("tables"), mapping_outline(*site.mapping), 0600);
  records.columns.note(tables);
  // The way back: what the primary had followed of the other side is of a history that has ended.
  record_position(site.of(report.primary), report.primary == Side::kOld ? Position{} : from_old);
  failpoint("resync.settle.before");
  sink->commit(report.primary == Side::kOld ? from_old : from_postgres, {});
  failpoint("resync.settle.after");
  records.mending.end();
  return report;
}

}  // namespace switchback
