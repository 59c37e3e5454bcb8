#include "bridge/supervisor.h"

#include <fmt/format.h>

#include <random>
#include <utility>

#include "bridge/mapping_builder.h"
#include "bridge/mending.h"
#include "bridge/open_gates.h"
#include "bridge/verify/trailing.h"
#include "replication/meta.h"
#include "state/base/advice.h"
#include "state/base/durable_file.h"
#include "state/base/json_text.h"
#include "state/base/log.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDrainAfterCrash{60};
constexpr seconds kJobWithin{60};
constexpr seconds kLookAtTablesEvery{10};
constexpr milliseconds kRetryFirst{200};
constexpr milliseconds kRetryMost{10'000};

// Waits, but not longer than a stop takes to be asked for.
void wait(milliseconds span, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, span, [] { return false; });
}

}  // namespace

Supervisor::Supervisor(Config config)
    : config_(std::move(config)),
      state_([this] {
        require_postgres(config_);
        StateDir state = StateDir::open(config_.state_dir);
        state.lock();
        return state;
      }()),
      audit_(AuditLog::open(config_.state_dir)),
      run_dir_(RunDir::open(config_.run_dir)),
      journal_(state_.file("flip")),
      epochs_(state_.file("epochs")),
      pauses_(state_.file("pauses.json")),
      columns_(state_.file("columns")),
      mending_record_(state_.file("mending")),
      trail_(state_.file("compared")),
      trailing_(std::make_unique<TrailingVerifier>(*this, trail_)) {}

Supervisor::~Supervisor() = default;

Picture Supervisor::picture() const {
  const std::lock_guard lock(mutex_);
  Picture copy = picture_;
  if (pump_) copy.pump = pump_->progress();
  copy.trail = trail_.status();
  return copy;
}

std::shared_ptr<Pump> Supervisor::pump() const {
  const std::lock_guard lock(mutex_);
  return pump_;
}

std::shared_ptr<const Site> Supervisor::site() const {
  const std::lock_guard lock(mutex_);
  return site_;
}

void Supervisor::with_pump(Pump::Job job) {
  std::future<void> done;
  {
    const std::lock_guard lock(mutex_);
    const bool settled = picture_.phase == Phase::kForward || picture_.phase == Phase::kReverse;
    if (!pump_ || !settled) {
      throw Error(ErrorKind::kRefused, Retry::kLater,
                  fmt::format("the bridge is in phase {}; rows can be applied again in forward and "
                              "reverse only",
                              to_string(picture_.phase)),
                  {.next = "wait until `switchback status` shows forward or reverse"});
    }
    // The pump is not kept: whoever replaces it must not wait for us.
    done = pump_->submit(std::move(job));
  }
  if (done.wait_for(kJobWithin) == std::future_status::timeout) {
    throw Error(ErrorKind::kBusy, Retry::kLater, "the pump did not come to it in time",
                {.next = "look at `switchback status`, then again"});
  }
  done.get();
}

void Supervisor::set_phase(Phase phase) {
  {
    const std::lock_guard lock(mutex_);
    if (picture_.phase == phase) return;
    picture_.phase = phase;
  }
  log_info(fmt::format("phase {}", to_string(phase)));
  audit_.append({"phase", "sidecar", fmt::format("\"{}\"", to_string(phase))});
}

void Supervisor::run(std::stop_token stop) {
  {
    const std::lock_guard flip_lock(flip_mutex_);
    start(stop);
  }
  while (!stop.stop_requested()) {
    std::optional<MendOrder> order;
    bool again = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, kLookAtTablesEvery,
                        [&] { return bring_up_again_ || mend_wanted_; });
      if (mend_wanted_) bring_up_again_ = false;
      again = bring_up_again_;
      order = std::exchange(mend_wanted_, std::nullopt);
    }
    if (stop.stop_requested()) return;
    if (!order && !again) {
      look_who_is_open();
      look_at_tables();
      continue;
    }
    const std::lock_guard flip_lock(flip_mutex_);
    if (order) {
      mend_as_ordered(*order, stop);
    } else {
      start(stop);
    }
  }
}

void Supervisor::start(std::stop_token stop) {
  std::minstd_rand random(std::random_device{}());
  for (int failures = 0; !stop.stop_requested(); ++failures) {
    try {
      bring_up(stop);
      const std::lock_guard lock(mutex_);
      picture_.error.reset();
      bring_up_again_ = false;
      return;
    } catch (const Error& error) {
      if (error.retry() == Retry::kNever) throw;
      const auto ceiling = std::min(kRetryMost, kRetryFirst * (1 << std::min(failures, 8)));
      const milliseconds pause(std::uniform_int_distribution<milliseconds::rep>(
          ceiling.count() / 2, ceiling.count())(random));
      log_warning(fmt::format("{} (trying again in {} ms)", error.what(), pause.count()));
      {
        const std::lock_guard lock(mutex_);
        picture_.error = error;
        pump_.reset();
      }
      wait(pause, stop);
    }
  }
}

void Supervisor::bring_up(std::stop_token stop) {
  auto opened = std::make_shared<const Site>(open_site(config_, SchemaUse::kApply));
  {
    const std::lock_guard lock(mutex_);
    site_ = std::move(opened);
  }
  for (const auto& warning : site_->warnings) log_warning(warning);
  // Somebody has said who is right; the epochs would only say who was closed last.
  mending_record_.require_none();
  install();
  recover_flip();
  const Side primary = picture().primary;
  if (primary == Side::kOld && !load_done(*site_)) {
    set_phase(Phase::kSnapshot);
    run_load(
        *site_,
        [this] {
          start_pump(Side::kPostgres);
          return pump();
        },
        [this](const LoadProgress& progress) {
          const std::lock_guard lock(mutex_);
          picture_.load = progress;
        },
        stop);
    if (stop.stop_requested()) return;
    trail_.forget();
  }
  if (!pump()) start_pump(other(primary));
  settle_other_side();
  count_rows();
  Connection connection = connect(config_, "setup");
  note_phase(connection, config_.bridge, site_->group(), phase_of(primary));
  // Last: whoever reads it may flip at once.
  set_phase(phase_of(primary));
}

void Supervisor::count_rows() {
  const auto reader = site_->postgres->make_reader();
  std::vector<TableStatus> tables;
  for (const TableId id : site_->mapping->parents_first()) {
    const TableMap& table = site_->mapping->table(id);
    tables.push_back({table.schema + "." + table.table, reader->estimate(id)});
  }
  const std::lock_guard lock(mutex_);
  picture_.tables = std::move(tables);
}

// Log entries name tables by number: with another set of tables they would mean other rows.
void Supervisor::require_same_tables() {
  const std::string before = read_file(state_.file("tables"));
  if (before.empty() || before == mapping_outline(*site_->mapping)) return;
  if (!site_->old_side->plan_install().empty()) return;  // nothing is logged yet, or no longer
  throw Error(ErrorKind::kRefused, Retry::kNever,
              "the mapped tables or their keys are not the ones that capture was installed for",
              {.object = state_.file("tables").string(),
               .next = std::string("restore the configuration and schema; or, if it is meant, ") +
                       kDoctorFix});
}

// Everything works without it until somebody wants to go back, so it is asked for before anything
// is put in place.
void Supervisor::require_logical_wal() {
  const std::string level = connect(config_, "setup").exec("SHOW wal_level").string(0, 0);
  if (level == "logical") return;
  throw Error(ErrorKind::kRefused, Retry::kNever,
              fmt::format("wal_level = {}: nothing could flow back after a cutover", level),
              {.object = "PostgreSQL",
               .next = "ALTER SYSTEM SET wal_level = 'logical'; restart the server; then "
                       "`switchback check`"});
}

// An empty state directory beside an installed bridge is not its own: what an interrupted flip
// decided, and perhaps a sidecar that still runs, are in another.
void Supervisor::require_own_state() {
  if (!read_file(state_.file("remove-old.sql")).empty()) return;
  const OpenGates gates(*site_);
  const GateState postgres = gates.postgres->inspect(Deadline::in(kLookWithin));
  const bool postgres_primary = postgres.epoch != 0 && postgres.door == GateState::Door::kOpen;
  if (!postgres_primary && gates.old_side->inspect(Deadline::in(kLookWithin)).epoch == 0) return;
  throw Error(ErrorKind::kRefused, Retry::kNever,
              "the bridge is installed, but this state directory knows nothing of it",
              {.object = config_.state_dir.string(),
               .next = "put the state directory back or correct [bridge] state_dir; if it is lost, "
                       "stop every other switchback, then `switchback doctor --fix --yes`"});
}

void Supervisor::install() {
  state_.probe();
  require_own_state();
  require_logical_wal();
  require_same_tables();
  backup_before_capture(*site_, state_);
  // Before anything is put in place: how to take it off by hand, should this program be gone.
  replace_file(state_.file("remove-postgres.sql"), site_->postgres->removal_script(), 0600);
  replace_file(state_.file("remove-old.sql"), site_->old_side->removal_script(), 0600);
  const std::size_t for_postgres = site_->postgres->plan_install().size();
  const std::size_t for_old_side = site_->old_side->plan_install().size();
  const std::size_t planned = for_postgres + for_old_side;
  if (for_postgres != 0 && for_old_side != 0) epochs_.forget();
  // The other side is fenced before the first change is captured.
  site_->postgres->install();
  site_->old_side->install();
  replace_file(state_.file("tables"), mapping_outline(*site_->mapping), 0600);
  if (columns_.empty() || (for_postgres != 0 && for_old_side != 0)) {
    columns_.note(switchback::tables_of(*site_));
  }
  if (planned != 0) {
    audit_.append({"install", "sidecar", fmt::format("{{\"statements\":{}}}", planned)});
  }
}

void Supervisor::recover_flip() {
  {
    // One that a flip left parked holds the target for itself, which recovery has to ask.
    const std::lock_guard lock(mutex_);
    pump_.reset();
  }
  const OpenGates gates(*site_);
  const auto look = [&](WriteGate& gate) { return gate.inspect(Deadline::in(kDrainAfterCrash)); };
  epochs_.require_not_older(look(*gates.old_side), look(*gates.postgres));
  const Standing standing = recover(
      gates.gates(), journal_,
      [this](const FlipDecision& decision, Deadline deadline) {
        return drain_decided(decision, deadline);
      },
      Deadline::in(kDrainAfterCrash));
  epochs_.note(look(*gates.old_side).epoch, look(*gates.postgres).epoch);
  {
    const std::lock_guard lock(mutex_);
    picture_.primary = standing.primary;
    picture_.epoch = standing.epoch;
    pump_.reset();
  }
  if (standing.finished_flip || standing.undone_flip) {
    const char* what = standing.finished_flip ? "finished" : "undone";
    log_warning(fmt::format("an interrupted flip was {}: {} is primary at epoch {}", what,
                            to_string(standing.primary), standing.epoch));
    audit_.append({"recovery", "sidecar",
                   fmt::format("{{\"flip\":\"{}\",\"primary\":\"{}\",\"epoch\":{}}}", what,
                               to_string(standing.primary), standing.epoch)});
  }
  tell(false);
}

// A power loss may have taken back rows that were drained when the flip was decided; the closed
// side still has them to give.
bool Supervisor::drain_decided(const FlipDecision& decision, Deadline deadline) {
  // Where they are all there, nothing that keeps the pump from starting keeps the flip from ending.
  if (site_->of(decision.to).make_sink()->applied().reaches(decision.mark)) return true;
  start_pump(decision.to);
  if (pump()->wait_applied(decision.mark, deadline)) return pump()->park(deadline);
  const PumpProgress progress = pump()->progress();
  if (progress.state == PumpState::kStopped && progress.error) throw Error(*progress.error);
  return false;
}

// While PostgreSQL is primary, nobody adds to the old store's log: the entry up to which PostgreSQL
// followed it must still be there. In a copy from before the cutover it is not, and what was
// written between the two would be missing for ever.
void Supervisor::require_same_log(const Site& site) {
  const Position followed = site.postgres->make_sink()->applied();
  if (!(followed == Position{})) site.old_side->make_source()->start(followed);
}

void Supervisor::start_pump(Side to) {
  auto made = std::make_shared<Pump>(
      fmt::format("pump to {}", to_string(to)),
      [this, to, site = site_] {
        mending_record_.require_none();
        columns_.require_same(*site);
        auto sink = site->of(to).make_sink();
        require_settled(*sink);
        if (to == Side::kOld) require_same_log(*site);
        return Pump::Parts{site->of(other(to)).make_source(), std::move(sink),
                           [to, site] { return site->of(other(to)).make_reader(); },
                           [to, site] {
                             return std::make_unique<SecondTries>(site->mapping,
                                                                  site->of(to).quarantine());
                           }};
      },
      PumpOptions{.seed = std::random_device{}(), .trail = &trail_});
  {
    const std::lock_guard lock(mutex_);
    pump_.reset();  // the earlier one ends before its successor opens the same target
  }
  trail_.turn(to, site_->mapping);
  made->start();
  const std::lock_guard lock(mutex_);
  pump_ = std::move(made);
}

// What only a primary needs is given back by the other side: PostgreSQL keeps no WAL for a slot
// while the old store is primary.
void Supervisor::settle_other_side() {
  site_->of(other(picture().primary)).make_gate(site_->group())->settle_closed();
}

// What the old store followed after an earlier cutover ended with the slot of that time. The slot
// of this one may be another PostgreSQL's, one that was promoted or upgraded meanwhile, and must
// not be measured by it.
void Supervisor::forget_followed() {
  try {
    const auto sink = site_->old_side->make_sink();
    if (!(sink->applied() == Position{})) sink->commit(Position{}, {});
  } catch (const Error& error) {
    // Of the same PostgreSQL it does no harm.
    log_warning(fmt::format("what the old store followed before is still noted: {}", error.what()));
  }
}

void Supervisor::tell(bool closing) {
  const Picture now = picture();
  run_dir_.tell({now.epoch, closing, {{site_->group(), now.primary}}});
}

void Supervisor::notify() {
  const Picture now = picture();
  Connection connection = connect(config_, "notify");
  note_phase(connection, config_.bridge, site_->group(), phase_of(now.primary));
  connection.exec("SELECT pg_catalog.pg_notify('switchback', $1)",
                  {fmt::format("{{\"bridge\":\"{}\",\"group\":\"{}\",\"primary\":\"{}\","
                               "\"epoch\":{}}}",
                               config_.bridge, site_->group(), to_string(now.primary), now.epoch)});
}

}  // namespace switchback
