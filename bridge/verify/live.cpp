#include "bridge/verify/live.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "bridge/repair_rows.h"
#include "state/base/error.h"
#include "state/base/json_text.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

constexpr int kMostTries = 5;
constexpr milliseconds kBetweenTries{500};
constexpr milliseconds kLookForPosition{2};

/// The bridge as it was when the comparison began.
struct Moment {
  std::shared_ptr<const Site> site;
  Side primary;
  Epoch epoch;
};

Moment standing_of(const Supervisor& supervisor) {
  const Picture now = supervisor.picture();
  const auto site = supervisor.site();
  if (!site || (now.phase != Phase::kForward && now.phase != Phase::kReverse)) {
    throw Error(ErrorKind::kRefused, Retry::kLater,
                fmt::format("the bridge is in phase {}; only forward and reverse can be compared",
                            to_string(now.phase)),
                {.next = "wait until `switchback status` shows forward or reverse"});
  }
  return {site, now.primary, now.epoch};
}

/// Waits until the pump has carried what the primary had at a position.
class Carrier {
 public:
  Carrier(Supervisor& supervisor, Moment standing, std::shared_ptr<const Pace> pace)
      : supervisor_(supervisor), standing_(std::move(standing)), pace_(std::move(pace)) {}

  bool operator()(const Position& position, Deadline deadline) {
    // An LSN that nothing of ours follows is never reached: a marker of ours does.
    const Position wanted = standing_.primary == Side::kPostgres ? marker().mark() : position;
    for (;;) {
      const Picture now = supervisor_.picture();
      if (now.epoch != standing_.epoch || now.primary != standing_.primary) {
        throw Error(ErrorKind::kBusy, Retry::kLater, "a flip came in between");
      }
      if (wanted == Position{} || now.pump.durable.reaches(wanted)) return true;
      if (now.pump.state == PumpState::kStopped && now.pump.error) throw *now.pump.error;
      if (deadline.passed()) return false;
      pace_->wait(kLookForPosition);
    }
  }

 private:
  WriteGate& marker() {
    if (!marker_) marker_ = standing_.site->postgres->make_gate(standing_.site->group());
    return *marker_;
  }

  Supervisor& supervisor_;
  const Moment standing_;
  const std::shared_ptr<const Pace> pace_;
  std::unique_ptr<WriteGate> marker_;
};

using Carried = std::function<bool(const Position&, Deadline)>;

VerifySides sides_of(const Supervisor& supervisor, const Moment& standing, Carried carried,
                     ReadHold* hold) {
  VerifySides sides;
  sides.mapping = standing.site->mapping;
  sides.primary = standing.primary;
  sides.make_reader = [site = standing.site, hold](Side side) {
    auto reader = site->of(side).make_reader();
    return hold == nullptr ? std::move(reader) : hold->guard(std::move(reader));
  };
  sides.carried = std::move(carried);
  sides.same_in_postgres = ask_postgres(supervisor.config());
  sides.quarantine = [site = standing.site, to = other(standing.primary)] {
    return site->of(to).quarantine();
  };
  return sides;
}

std::vector<TableId> tables_of(const Mapping& mapping, const std::string& name) {
  auto all = mapping.parents_first();
  if (name.empty()) return all;
  std::erase_if(all, [&](TableId id) {
    const TableMap& map = mapping.table(id);
    return name != map.table && name != map.schema + "." + map.table;
  });
  if (!all.empty()) return all;
  throw Error(ErrorKind::kUsage, Retry::kNever, "no table of that name is carried by this bridge",
              {.object = name, .next = "`switchback status` lists the tables"});
}

void repair_by_pump(Supervisor& supervisor, const Moment& standing, const Chunk& keys,
                    std::shared_ptr<KeptRows> kept) {
  // The job may outlive this call.
  const auto own = std::make_shared<const Chunk>(keys);
  supervisor.with_pump([own, standing, kept](Pump::Parts& parts, const Position& applied) {
    const TableMap& map = standing.site->mapping->table(own->changes().front().table);
    const auto of_primary = parts.make_reader();
    const auto of_other = standing.site->of(other(standing.primary)).make_reader();
    repair_rows(map, *own, applied, *of_primary, *of_other, *parts.sink, *kept);
  });
}

void note(Supervisor& supervisor, const VerifyOrder& order, const VerifyReport& report) {
  JsonWriter json;
  json.begin_object()
      .member("table", order.table)
      .member("repair", order.repair)
      .member("identical", report.identical())
      .member("rows_differing", report.rows_differing())
      .end_object();
  supervisor.note({"verify", order.by, json.take()});
}

VerifyReport run_once(Supervisor& supervisor, const VerifyOrder& order,
                      const std::shared_ptr<const Pace>& pace, const Sweep::Report& tell) {
  const Moment standing = standing_of(supervisor);
  LiveSides live = live_sides(supervisor, pace);
  if (order.repair) {
    live.sides.make_reader = [make = std::move(live.sides.make_reader)](Side side) {
      auto reader = make(side);
      reader->accept_what_is_there();
      return reader;
    };
  }
  const auto tables = tables_of(*live.sides.mapping, order.table);
  Sweep sweep(std::move(live.sides), *pace, tell);
  VerifyReport report = sweep.run(tables);
  if (order.repair) {
    const auto kept =
        std::make_shared<KeptRows>(supervisor.state_dir().file("kept"), other(standing.primary));
    sweep.repair(report,
                 [&](const Chunk& keys) { repair_by_pump(supervisor, standing, keys, kept); });
    report.kept = kept->path().string();
  }
  return report;
}

}  // namespace

SameInPostgres ask_postgres(const Config& config) {
  const auto connection = std::make_shared<std::optional<Connection>>();
  return [&config, connection](const ColumnMap& column, std::string_view a, std::string_view b) {
    if (!*connection) connection->emplace(connect(config, "verify"));
    try {
      const Result same =
          (*connection)
              ->exec(fmt::format("SELECT ($1::{0})::text = ($2::{0})::text", column.type_name),
                     {std::string(a), std::string(b)});
      return same.string(0, 0) == "t";
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kUnreachable) throw;
      return false;  // one of them is no value of the type
    }
  };
}

LiveSides live_sides(Supervisor& supervisor, std::shared_ptr<const Pace> pace) {
  const Moment standing = standing_of(supervisor);
  auto carrier = std::make_shared<Carrier>(supervisor, standing, pace);
  auto carried = [carrier](const Position& position, Deadline deadline) {
    return (*carrier)(position, deadline);
  };
  return {std::move(pace), standing.epoch,
          sides_of(supervisor, standing, std::move(carried), &supervisor.reads())};
}

LiveSides locked_sides(Supervisor& supervisor) {
  const Moment standing = standing_of(supervisor);
  // What comes past the application's locks after the drain was carried by nobody, and is no
  // difference: the flip is tried again.
  auto carried = [&supervisor, primary = standing.primary](const Position& position, Deadline) {
    return primary == Side::kPostgres || supervisor.picture().pump.durable.reaches(position);
  };
  return {std::make_shared<const Pace>(0, std::stop_token()), standing.epoch,
          sides_of(supervisor, standing, std::move(carried), nullptr)};
}

VerifyReport run_verify(Supervisor& supervisor, const VerifyOrder& order,
                        std::uint64_t rows_per_second, std::stop_token stop,
                        const Sweep::Report& tell) {
  const auto pace = std::make_shared<const Pace>(rows_per_second, std::move(stop));
  for (int tries = 1;; ++tries) {
    const Epoch epoch = supervisor.picture().epoch;
    try {
      VerifyReport report = run_once(supervisor, order, pace, tell);
      if (supervisor.picture().epoch == epoch) {
        if (!order.by.empty()) note(supervisor, order, report);
        return report;
      }
    } catch (const Error& error) {
      if (supervisor.picture().epoch == epoch || pace->stop().stop_requested()) throw;
    }
    if (tries == kMostTries) {
      throw Error(ErrorKind::kBusy, Retry::kLater,
                  "flips came in between, again and again: nothing can be said of the two sides",
                  {.next = "`switchback verify` again when no flip is under way"});
    }
    pace->wait(kBetweenTries);
  }
}

}  // namespace switchback
