#include "bridge/resync.h"

#include <algorithm>
#include <memory>

#include "bridge/kept_rows.h"
#include "bridge/reapply.h"
#include "bridge/verify/live.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

// Keys of rows that differ, held at once; with more, all is compared again after they were applied.
constexpr std::uint64_t kMostAtOnce = 100'000;
constexpr int kMostRounds = 1'000;

// With no pump, a row that the application changed meanwhile differs, and is applied early; the
// pump tells it again.
VerifySides sides_of(const Site& site, Side primary) {
  VerifySides sides;
  sides.mapping = site.mapping;
  sides.primary = primary;
  sides.make_reader = [&site](Side side) { return site.of(side).make_reader(); };
  sides.carried = [](const Position&, Deadline) { return true; };
  sides.same_in_postgres = ask_postgres(site.config);
  sides.quarantine = [&site, primary] { return site.of(other(primary)).quarantine(); };
  return sides;
}

class Repair {
 public:
  Repair(const Site& site, Side primary, ChangeSink& sink, std::filesystem::path folder)
      : site_(site),
        sink_(sink),
        of_primary_(site.of(primary).make_reader()),
        of_other_(site.of(other(primary)).make_reader()),
        kept_(std::move(folder), other(primary)) {}

  void operator()(const Chunk& keys) {
    const TableId table = keys.changes().front().table;
    Chunk rows;
    of_other_->fetch(table, keys, rows);
    kept_.add(site_.mapping->table(table), rows);
    failpoint("resync.apply.before");
    const Reapplied done = reapply(keys, kUnsettled, *of_primary_, sink_);
    failpoint("resync.apply.after");
    done_.applied += done.rows;
    done_.removed += done.gone;
    done_.refused += done.rejects.size();
  }

  Resynced take() const {
    Resynced done = done_;
    done.kept = kept_.path();
    return done;
  }

 private:
  const Site& site_;
  ChangeSink& sink_;
  const std::unique_ptr<RowReader> of_primary_, of_other_;
  KeptRows kept_;
  Resynced done_;
};

void require_compared(const VerifyReport& report) {
  for (const TableReport& table : report.tables) {
    if (table.problem.empty()) continue;
    throw Error(ErrorKind::kData, Retry::kNever, "a table could not be compared: " + table.problem,
                {.object = table.name, .next = "mend that, then `switchback doctor --fix` again"});
  }
}

}  // namespace

VerifyReport compare_at_rest(const Site& site, Side primary, std::stop_token stop,
                             const Sweep::Report& tell) {
  Sweep sweep(sides_of(site, primary), Pace(0, std::move(stop)), tell);
  return sweep.run(site.mapping->parents_first());
}

Resynced resync(const Site& site, Side primary, ChangeSink& sink,
                const std::filesystem::path& folder, std::stop_token stop,
                const Sweep::Report& tell) {
  Sweep sweep(sides_of(site, primary), Pace(0, stop), tell, kMostAtOnce);
  Repair repair(site, primary, sink, folder);
  for (int round = 1;; ++round) {
    VerifyReport report = sweep.run(site.mapping->parents_first());
    require_compared(report);
    sweep.repair(report, [&](const Chunk& keys) { repair(keys); });
    const bool more = std::any_of(report.tables.begin(), report.tables.end(),
                                  [](const TableReport& table) { return table.more != 0; });
    Resynced done = repair.take();
    for (const TableReport& table : report.tables) {
      done.rows_old += table.rows_old;
      done.rows_postgres += table.rows_postgres;
    }
    if (!more) return done;
    if (round == kMostRounds) {
      throw Error(ErrorKind::kBusy, Retry::kLater, "the two sides differ again and again",
                  {.next = "`switchback doctor --fix` again at a quieter moment"});
    }
  }
}

}  // namespace switchback
