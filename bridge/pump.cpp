#include "bridge/pump.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "bridge/reapply.h"
#include "bridge/verify/trail.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

// A source wakes by itself for what it has to give; this is for what the pump sees to meanwhile. As
// long as the SQLite source's own slow poll, so that an idle pump makes one look of the two.
constexpr milliseconds kLookWhenIdle{1'000};
constexpr milliseconds kLookWhileUnsynced{2};
constexpr milliseconds kLagEvery{100};
constexpr milliseconds kRateOver{2'000};

// Once when it begins, and once when it is over.
void log_troubles(const std::string& pump, const std::vector<SourceTrouble>& before,
                  const std::vector<SourceTrouble>& now) {
  if (now == before) return;
  std::map<std::string_view, std::string_view> told;
  for (const SourceTrouble& trouble : before) told.emplace(trouble.what, trouble.why);
  for (const SourceTrouble& trouble : now) {
    const auto found = told.find(trouble.what);
    const bool same = found != told.end() && found->second == trouble.why;
    if (found != told.end()) told.erase(found);
    if (same) continue;
    log_warning(fmt::format("{}: {} is left as it was: {}", pump, trouble.what, trouble.why));
  }
  for (const auto& [what, why] : told) log_info(fmt::format("{}: {} is read again", pump, what));
}

constexpr const char* kFlipUnderWay = "a flip is under way, or the load builds constraints";

}  // namespace

std::string_view to_string(PumpState state) noexcept {
  switch (state) {
    case PumpState::kConnecting:
      return "connecting";
    case PumpState::kFlowing:
      return "flowing";
    case PumpState::kParked:
      return "parked";
    case PumpState::kRetrying:
      return "retrying";
    case PumpState::kStopped:
      return "stopped";
  }
  return "unknown";
}

Pump::Pump(std::string name, MakeParts make_parts, PumpOptions options)
    : name_(std::move(name)),
      make_parts_(std::move(make_parts)),
      options_(options),
      random_(static_cast<std::minstd_rand::result_type>(options.seed)) {}

Pump::~Pump() {
  thread_.request_stop();
  wake_source();
  refuse_jobs("the pump was stopped");
}

void Pump::start() {
  thread_ = std::jthread([this](std::stop_token stop) {
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
    run(std::move(stop));
  });
}

bool Pump::wait_applied(const Position& position, Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto over = [&] {
    return progress_.durable.reaches(position) || progress_.state == PumpState::kStopped;
  };
  changed_.wait_until(lock, deadline.at(), over);
  return progress_.durable.reaches(position);
}

bool Pump::wait_flowing(Deadline deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline.at(), [&] {
    return progress_.state == PumpState::kFlowing || progress_.state == PumpState::kParked;
  });
}

bool Pump::park(Deadline deadline) {
  std::unique_lock lock(mutex_);
  park_wanted_ = true;
  lock.unlock();
  refuse_jobs(kFlipUnderWay);
  wake_source();
  lock.lock();
  const bool parked = changed_.wait_until(lock, deadline.at(),
                                          [&] { return progress_.state == PumpState::kParked; });
  if (!parked) park_wanted_ = false;
  return parked;
}

void Pump::resume() {
  const std::lock_guard lock(mutex_);
  park_wanted_ = false;
  changed_.notify_all();
}

void Pump::hold_housekeeping(bool held) {
  {
    std::unique_lock lock(mutex_);
    housekeeping_held_ = held;
    if (held) changed_.wait(lock, [&] { return !occupied_; });
  }
  if (held) refuse_jobs(kFlipUnderWay);
}

std::future<void> Pump::submit(Job job) {
  Submitted submitted{std::move(job), {}};
  std::future<void> done = submitted.done.get_future();
  std::string refused;
  {
    const std::lock_guard lock(mutex_);
    const bool ended = thread_.get_stop_token().stop_requested();
    jobs_.push_back(std::move(submitted));
    if (housekeeping_held_ || park_wanted_) refused = kFlipUnderWay;
    if (progress_.state == PumpState::kStopped || ended) refused = "the pump has stopped";
  }
  if (refused.empty()) {
    wake_source();
  } else {
    refuse_jobs(refused);
  }
  return done;
}

void Pump::refuse_jobs(const std::string& why) {
  std::deque<Submitted> refused;
  {
    const std::lock_guard lock(mutex_);
    refused.swap(jobs_);
  }
  for (Submitted& job : refused) {
    job.done.set_exception(
        std::make_exception_ptr(Error(ErrorKind::kBusy, Retry::kLater, why,
                                      {.next = "look at `switchback status`, then again"})));
  }
}

void Pump::restart() {
  const std::lock_guard lock(mutex_);
  restart_wanted_ = true;
  changed_.notify_all();
}

PumpProgress Pump::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

void Pump::set_state(PumpState state) {
  const std::lock_guard lock(mutex_);
  progress_.state = state;
  changed_.notify_all();
}

void Pump::wake_source() {
  const std::lock_guard lock(mutex_);
  if (awake_ != nullptr) awake_->wake();
}

void Pump::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    try {
      set_state(PumpState::kConnecting);
      Parts parts = make_parts_();
      flow(parts, stop);
    } catch (const Error& error) {
      if (!wait_after(error, stop)) return;
    } catch (const std::exception& error) {
      if (!wait_after(Error(ErrorKind::kInternal, Retry::kNever, error.what()), stop)) return;
    }
  }
}

// Reports the failure and waits until it makes sense to try again; false: stop instead.
bool Pump::wait_after(const Error& error, std::stop_token stop) {
  ++failures_;
  const bool again = error.retry() == Retry::kLater;
  const auto ceiling =
      std::min(options_.retry_most, options_.retry_first * (1 << std::min(failures_ - 1, 10)));
  const milliseconds pause(std::uniform_int_distribution<milliseconds::rep>(
      ceiling.count() / 2, ceiling.count())(random_));
  log_line(
      again ? LogLevel::kWarning : LogLevel::kError,
      fmt::format("{}: {}{}", name_, error.what(),
                  again ? fmt::format(" (trying again in {} ms)", pause.count()) : " (stopped)"));
  std::unique_lock lock(mutex_);
  progress_.error = error;
  progress_.retry_in = pause;
  progress_.state = again ? PumpState::kRetrying : PumpState::kStopped;
  changed_.notify_all();
  if (!again) {
    lock.unlock();
    refuse_jobs(error.what());
    lock.lock();
  }
  const auto wanted = [&] { return restart_wanted_; };
  if (again) {
    changed_.wait_for(lock, stop, pause, wanted);
  } else {
    changed_.wait(lock, stop, wanted);
  }
  restart_wanted_ = false;
  return !stop.stop_requested();
}

void Pump::flow(Parts& parts, std::stop_token stop) {
  // Whoever asks for a stop or a park must be able to end a waiting pull().
  struct Awake {
    Pump& pump;
    Awake(Pump& of, ChangeSource* source) : pump(of) {
      const std::lock_guard lock(pump.mutex_);
      pump.awake_ = source;
    }
    ~Awake() {
      const std::lock_guard lock(pump.mutex_);
      pump.awake_ = nullptr;
    }
  } const awake(*this, parts.source.get());

  mid_batch_ = false;
  batch_changes_ = 0;
  batch_took_ = {};
  const Position applied = parts.sink->applied();
  told_compared_.reset();
  if (options_.trail != nullptr) parts.source->compared(options_.trail->begin(applied));
  parts.source->start(applied);
  {
    const std::lock_guard lock(mutex_);
    progress_.applied = progress_.durable = applied;
    progress_.quarantined = parts.sink->quarantined();
    counts_before_ = progress_.counts;
    progress_.state = PumpState::kFlowing;
    changed_.notify_all();
  }
  begin_second_tries(parts);
  rate_since_ = last_housekeeping_ = Deadline::Clock::now();
  Chunk chunk;
  std::vector<Reject> rejects;
  try {
    while (!stop.stop_requested()) {
      stand_parked(parts, stop);
      // Whoever parked the pump and then ends it has changed the target meanwhile: not a row more.
      if (stop.stop_requested() || !run_jobs(parts)) break;
      const Pull pull = parts.source->pull(chunk, next_look(), stop);
      if (pull == Pull::kChunk) take(chunk, parts, rejects);
      if (pull == Pull::kOwed && options_.trail != nullptr) options_.trail->note(chunk);
      publish_durable(parts);
      publish_lag(parts);
      try_again(parts);
      housekeep(parts);
    }
  } catch (...) {
    parts.sink->rollback();
    throw;
  }
  parts.sink->rollback();
}

void Pump::take(const Chunk& chunk, Parts& parts, std::vector<Reject>& rejects) {
  const auto began = Deadline::Clock::now();
  mid_batch_ = true;
  if (options_.trail != nullptr) options_.trail->note(chunk);
  parts.sink->apply(chunk, rejects);
  if (second_tries_) second_tries_->note_applied(chunk);
  const std::uint64_t count = chunk.changes().size();
  rate_changes_ += count;
  if (chunk.boundary) {
    supply_wanted(*chunk.boundary, parts, rejects);
    parts.sink->commit(*chunk.boundary, rejects);
    if (options_.trail != nullptr) options_.trail->committed(*chunk.boundary);
    if (second_tries_) second_tries_->note_rejected(rejects);
  }
  note_speed(chunk.boundary.has_value(), count, began);
  const std::lock_guard lock(mutex_);
  progress_.changes += count;
  if (!chunk.boundary) return;
  progress_.speed = speedometer_.speed();
  mid_batch_ = false;
  failures_ = 0;
  progress_.applied = *chunk.boundary;
  progress_.rejected += rejects.size();
  progress_.quarantined = parts.sink->quarantined();
  ++progress_.batches;
  progress_.error.reset();
  rejects.clear();
}

void Pump::note_speed(bool whole, std::uint64_t changes, Deadline::Clock::time_point began) {
  batch_took_ +=
      std::chrono::duration_cast<std::chrono::microseconds>(Deadline::Clock::now() - began);
  batch_changes_ += changes;
  if (!whole) return;
  speedometer_.learn(std::exchange(batch_changes_, 0),
                     std::exchange(batch_took_, std::chrono::microseconds(0)));
}

void Pump::supply_wanted(const Position& boundary, Parts& parts, std::vector<Reject>& rejects) {
  if (!parts.make_reader) return;
  const Chunk wanted = parts.sink->wanted_rows();
  if (wanted.empty()) return;
  // A connection for each such batch: they are rare, and a reader kept for them would idle.
  apply_current_rows(wanted, boundary, *parts.make_reader(), *parts.sink, rejects);
}

void Pump::publish_durable(Parts& parts) {
  if (options_.trail != nullptr) {
    const Position compared = options_.trail->compared();
    if (told_compared_ != compared) parts.source->compared(compared);
    told_compared_ = compared;
  }
  const Position durable = parts.sink->durable();
  const std::lock_guard lock(mutex_);
  if (durable == progress_.durable) return;
  parts.source->acknowledge(durable);
  progress_.durable = durable;
  changed_.notify_all();
}

// Under mutex_.
void Pump::note_counts(const SourceCounts& counts) {
  progress_.counts.prunes = counts_before_.prunes + counts.prunes;
  progress_.counts.unexplained = counts_before_.unexplained + counts.unexplained;
}

void Pump::publish_lag(Parts& parts) {
  const auto now = Deadline::Clock::now();
  if (now - last_lag_ < kLagEvery) return;
  last_lag_ = now;
  const Lag lag = parts.source->lag();
  const SourceCounts counts = parts.source->counts();
  std::vector<SourceTrouble> troubles = parts.source->troubles();
  std::unique_lock lock(mutex_);
  const std::vector<SourceTrouble> before = progress_.troubles;
  lock.unlock();
  log_troubles(name_, before, troubles);
  lock.lock();
  progress_.lag = lag;
  progress_.troubles = std::move(troubles);
  note_counts(counts);
  if (now - rate_since_ < kRateOver) return;
  const std::chrono::duration<double> span = now - rate_since_;
  progress_.changes_per_second = static_cast<double>(rate_changes_) / span.count();
  rate_since_ = now;
  rate_changes_ = 0;
}

Deadline Pump::next_look() const {
  const std::lock_guard lock(mutex_);
  const bool unsynced = !(progress_.durable == progress_.applied);
  return Deadline::in(unsynced ? kLookWhileUnsynced : kLookWhenIdle);
}

void Pump::stand_parked(Parts& parts, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  // In the middle of a batch a transaction is open on the target; the batch comes to its end first.
  if (!park_wanted_ || mid_batch_) return;
  lock.unlock();
  parts.source->park();
  const SourceCounts counts = parts.source->counts();
  lock.lock();
  note_counts(counts);
  progress_.state = PumpState::kParked;
  changed_.notify_all();
  changed_.wait(lock, stop, [&] { return !park_wanted_; });
  progress_.state = PumpState::kFlowing;
  changed_.notify_all();
}

// False: one has failed, and the sink with it.
bool Pump::run_jobs(Parts& parts) {
  if (mid_batch_) return true;
  for (;;) {
    std::unique_lock lock(mutex_);
    if (jobs_.empty()) return true;
    Submitted next = std::move(jobs_.front());
    jobs_.pop_front();
    const Position applied = progress_.applied;
    occupied_ = true;
    lock.unlock();
    std::exception_ptr failure;
    try {
      next.job(parts, applied);
      begin_second_tries(parts);
    } catch (...) {
      failure = std::current_exception();
      parts.sink->rollback();
    }
    lock.lock();
    occupied_ = false;
    progress_.quarantined = parts.sink->quarantined();
    changed_.notify_all();
    lock.unlock();
    if (failure) {
      next.done.set_exception(failure);
      return false;
    }
    next.done.set_value();
  }
}

void Pump::begin_second_tries(Parts& parts) {
  if (parts.make_second_tries) second_tries_ = parts.make_second_tries();
}

void Pump::try_again(Parts& parts) {
  if (!second_tries_ || mid_batch_ || !second_tries_->due(Deadline::Clock::now())) return;
  Position applied;
  {
    const std::lock_guard lock(mutex_);
    if (housekeeping_held_ || park_wanted_) return;
    applied = progress_.applied;
  }
  second_tries_->try_some(applied, parts.make_reader, *parts.sink);
  const std::lock_guard lock(mutex_);
  progress_.quarantined = parts.sink->quarantined();
}

void Pump::housekeep(Parts& parts) {
  if (Deadline::Clock::now() - last_housekeeping_ < options_.housekeeping_every) return;
  {
    const std::lock_guard lock(mutex_);
    if (housekeeping_held_ || mid_batch_) return;
    occupied_ = true;
  }
  const auto done = [&] {
    const std::lock_guard lock(mutex_);
    occupied_ = false;
    changed_.notify_all();
  };
  try {
    parts.source->idle();
  } catch (...) {
    done();
    throw;
  }
  done();
  last_housekeeping_ = Deadline::Clock::now();
}

}  // namespace switchback
