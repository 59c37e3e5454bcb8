#include "bridge/snapshot.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "bridge/old_store.h"
#include "replication/load.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How long one batch of the catch-up may take before it is looked at again.
constexpr seconds kCatchUpLook{1};
// A batch that is under way comes to its end first.
constexpr seconds kParkWithin{600};

LoadSetup setup_for(const Site& site, std::function<void(const LoadCount&)> progress) {
  return {.conninfo = site.config.conninfo,
          .store = site.store,
          .mapping = site.mapping,
          .drop_constraints = site.config.drop_constraints,
          .make_reader = [&site] { return site.old_side->make_reader(); },
          .progress = std::move(progress)};
}

std::string words_of(LoadStep step) {
  switch (step) {
    case LoadStep::kCopy:
      return "copying";
    case LoadStep::kKeys:
      return "building keys";
    case LoadStep::kCatchUp:
      return "catching up";
    case LoadStep::kRest:
      return "building indexes and constraints";
    case LoadStep::kDone:
      return "done";
  }
  return {};
}

// Turns the load's counts into what status shows, with a rate over the whole of the step.
class Reporter {
 public:
  explicit Reporter(std::function<void(const LoadProgress&)> report) : report_(std::move(report)) {}

  void begin(LoadStep step) {
    step_ = words_of(step);
    since_ = Deadline::Clock::now();
    log_info(fmt::format("load: {}", step_));
    tell({});
  }
  void tell(const LoadCount& count) {
    const std::chrono::duration<double> span = Deadline::Clock::now() - since_;
    LoadStatus status;
    status.table = count.what;
    status.rows = count.objects_total != 0 ? count.objects : count.rows;
    status.rows_total = count.objects_total != 0 ? count.objects_total : count.estimate;
    status.rows_per_second = span.count() > 0 ? static_cast<double>(count.rows) / span.count() : 0;
    report_({.step = step_, .tables = {status}});
    log(status);
  }

 private:
  void log(const LoadStatus& status) {
    const auto now = Deadline::Clock::now();
    if (now - logged_ < kLogEvery || status.rows_total == 0) return;
    logged_ = now;
    const double left =
        status.rows_per_second > 0 && status.rows_total > status.rows
            ? static_cast<double>(status.rows_total - status.rows) / status.rows_per_second
            : 0;
    log_info(fmt::format("load: {} {}: {} of about {} ({:.0f} rows/s, {:.0f} s left)", step_,
                         status.table, status.rows, status.rows_total, status.rows_per_second,
                         left));
  }

  static constexpr seconds kLogEvery{5};
  const std::function<void(const LoadProgress&)> report_;
  std::string step_;
  Deadline::Clock::time_point since_{};
  Deadline::Clock::time_point logged_ = Deadline::Clock::now();
};

// Every key written since capture began: the copy may have met its row twice, under two rowids, or
// not at all. The pump reads the same log again right after, from its beginning.
void remove_logged_keys(const Site& site, InitialLoad& load, std::stop_token stop) {
  const auto source = site.old_side->make_source();
  source->start({});
  Chunk chunk;
  while (!stop.stop_requested()) {
    if (source->pull(chunk, Deadline::in(milliseconds(100)), stop) == Pull::kIdle) return;
    if (!chunk.empty()) load.remove_keys(chunk);
    if (chunk.boundary) return;
  }
}

// Where the old side stands now: a read of nothing says so.
Position position_of(const Site& site) {
  Chunk none;
  Chunk out;
  return site.old_side->make_reader()->fetch(site.mapping->parents_first().front(), none, out).to;
}

// The keys stand; everything up to a position later than the copy must be in before the rest can.
bool catch_up(const Site& site, Pump& pump, std::stop_token stop) {
  const Position end = position_of(site);
  while (!stop.stop_requested()) {
    if (pump.wait_applied(end, Deadline::in(kCatchUpLook))) return true;
    const PumpProgress progress = pump.progress();
    if (progress.state == PumpState::kStopped && progress.error) throw *progress.error;
  }
  return false;
}

// From standing keys to validated constraints, with the pump's help.
void finish_load(const Site& site, InitialLoad& load, Pump& pump, Reporter& reporter,
                 std::stop_token stop) {
  if (load.step() == LoadStep::kCatchUp) {
    reporter.begin(LoadStep::kCatchUp);
    if (!catch_up(site, pump, stop)) return;
    load.caught_up();
  }
  if (load.step() == LoadStep::kRest) {
    reporter.begin(LoadStep::kRest);
    // Nothing is applied meanwhile: a constraint is built over one consistent state.
    if (!pump.park(Deadline::in(kParkWithin))) {
      throw Error(ErrorKind::kBusy, Retry::kLater, "the pump does not come to rest",
                  {.next = "it is tried again; `switchback status` shows what it applies"});
    }
    load.build_rest(stop);
  }
}

}  // namespace

void backup_before_capture(const Site& site, const StateDir& state) {
  const auto folder = state.file("backups");
  std::error_code code;
  if (std::filesystem::exists(folder / "before-capture.json", code)) return;
  make_folder(folder, 0700);
  log_info(fmt::format("backing up {} before the first trace of the bridge is put into it",
                       old_store_place(site.config).string()));
  site.old_side->backup(folder / "before-capture");
}

bool load_done(const Site& site) {
  return InitialLoad(setup_for(site, {})).step() == LoadStep::kDone;
}

void run_load(const Site& site, const std::function<std::shared_ptr<Pump>()>& start_pump,
              const std::function<void(const LoadProgress&)>& report, std::stop_token stop) {
  Reporter reporter(report);
  InitialLoad load(setup_for(site, [&](const LoadCount& count) { reporter.tell(count); }));
  if (load.step() == LoadStep::kCopy) {
    reporter.begin(LoadStep::kCopy);
    load.copy(stop);
  }
  if (stop.stop_requested()) return;
  if (load.step() == LoadStep::kKeys) {
    reporter.begin(LoadStep::kKeys);
    remove_logged_keys(site, load, stop);
    if (stop.stop_requested()) return;
    load.build_keys();
  }
  finish_load(site, load, *start_pump(), reporter, stop);
  // A new pump, whose sink knows what building the constraints has put into quarantine.
  if (!stop.stop_requested()) start_pump();
}

}  // namespace switchback
