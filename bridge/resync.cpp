#include "bridge/resync.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bridge/repair_rows.h"
#include "bridge/verify/live.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

// Keys of rows that differ, held at once; with more, all is compared again after they were applied.
constexpr std::uint64_t kMostDifferences = 100'000;
constexpr int kMostRounds = 1'000;
// The application may have changed a row just after it was applied.
constexpr int kMostRepairs = 3;
constexpr std::chrono::milliseconds kBetweenRepairs{200};

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
    const TableMap& map = site_.mapping->table(table);
    failpoint("resync.apply.before");
    const Reapplied done =
        repair_rows(map, keys, kUnsettled, *of_primary_, *of_other_, sink_, kept_);
    failpoint("resync.apply.after");
    done_.applied += done.rows;
    done_.removed += done.gone;
    for (const Change& change : keys.changes()) {
      const Name name{table, key_text(keys, keys.row(change).first(map.key_width))};
      refused_.erase(name);
      left_.erase(name);
    }
    note(done.rejects);
  }

  /// What no repair helps: somebody has to see to it before the next flip.
  void give_up(const std::vector<Reject>& differing) {
    if (differing.empty()) return;
    sink_.commit(kUnsettled, differing);
    note(differing);
  }

  Resynced take() const {
    Resynced done = done_;
    done.refused = refused_.size();
    done.left = left_.size();
    done.kept = kept_.path();
    return done;
  }

 private:
  using Name = std::pair<TableId, std::string>;

  void note(const std::vector<Reject>& rejects) {
    for (const Reject& reject : rejects) {
      refused_.emplace(reject.table, reject.key);
      if (reject.reason.starts_with(kNotKept)) left_.emplace(reject.table, reject.key);
    }
  }

  const Site& site_;
  ChangeSink& sink_;
  const std::unique_ptr<RowReader> of_primary_, of_other_;
  KeptRows kept_;
  Resynced done_;
  std::set<Name> refused_, left_;
};

void require_compared(const VerifyReport& report) {
  for (const TableReport& table : report.tables) {
    if (table.problem.empty()) continue;
    throw Error(ErrorKind::kData, Retry::kNever, "a table could not be compared: " + table.problem,
                {.object = table.name, .next = "mend that, then `switchback doctor --fix` again"});
  }
}

/// Rows that differ, and neither is it known to anybody nor was it repaired: each once.
std::vector<Reject> differing_still(const Mapping& mapping, const VerifyReport& report) {
  std::vector<Reject> rejects;
  for (const TableReport& table : report.tables) {
    const auto id = find_qualified(mapping, table.name);
    std::set<std::string_view> keys;
    for (const Difference& difference : table.differences) {
      if (difference.repaired || difference.known != Known::kNot) continue;
      if (!id || !keys.insert(difference.key).second) continue;
      rejects.push_back(
          {*id, difference.key,
           "differs on the two sides, and could not be made the same: " + difference.cause, ""});
    }
  }
  return rejects;
}

bool more_than_listed(const VerifyReport& report) {
  return std::any_of(report.tables.begin(), report.tables.end(),
                     [](const TableReport& table) { return table.more != 0; });
}

[[noreturn]] void fail_round(bool repaired) {
  if (repaired) {
    throw Error(ErrorKind::kBusy, Retry::kLater, "the two sides differ again and again",
                {.next = "`switchback doctor --fix` again at a quieter moment"});
  }
  throw Error(ErrorKind::kData, Retry::kNever,
              "so many rows cannot be made the same that not all of them can be named at once",
              {.next = "see with `switchback quarantine list` why, mend that, and then "
                       "`switchback doctor --fix` again"});
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
  const Pace pace(0, stop);
  Sweep sweep(sides_of(site, primary), pace, tell, kMostDifferences);
  Repair repair(site, primary, sink, folder);
  for (int round = 1;; ++round) {
    VerifyReport report = sweep.run(site.mapping->parents_first());
    require_compared(report);
    std::vector<Reject> still;
    for (int tries = 0; tries < kMostRepairs && (tries == 0 || !still.empty()); ++tries) {
      if (tries != 0) pace.wait(kBetweenRepairs);
      sweep.repair(report, [&](const Chunk& keys) { repair(keys); });
      still = differing_still(*site.mapping, report);
    }
    const bool more = more_than_listed(report);
    if (!more) repair.give_up(still);
    Resynced done = repair.take();
    for (const TableReport& table : report.tables) {
      done.rows_old += table.rows_old;
      done.rows_postgres += table.rows_postgres;
    }
    if (!more) return done;
    if (round == kMostRounds || !report.repaired()) fail_round(report.repaired());
  }
}

}  // namespace switchback
