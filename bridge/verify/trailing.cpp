#include "bridge/verify/trailing.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>

#include "bridge/supervisor.h"
#include "bridge/verify/compare_part.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Long enough for a row that is written again and again to count once.
constexpr milliseconds kDelay{500};
constexpr milliseconds kAfterFailedLook{1'000};
// How often rows that differed are looked at again.
constexpr milliseconds kDifferingEvery{1'000};
constexpr milliseconds kIdle{60'000};
// It rests this many times as long as it worked.
constexpr int kRest = 2;
constexpr milliseconds kMostRest{2'000};
// What a flip's lock can take upon itself.
constexpr std::uint64_t kLittle = 64;
constexpr milliseconds kLookAtDebt{10};

milliseconds since(Clock::time_point begun) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - begun);
}

}  // namespace

TrailingVerifier::TrailingVerifier(Supervisor& supervisor, Trail& trail)
    : supervisor_(supervisor), trail_(trail) {
  thread_ = std::jthread([this](std::stop_token stop) {
    ::pthread_setname_np(::pthread_self(), "verify trail");
    run(std::move(stop));
  });
}

TrailingVerifier::~TrailingVerifier() = default;

void TrailingVerifier::tell(std::function<void(const std::string&)> clean_ends) {
  const std::lock_guard lock(mutex_);
  clean_ends_ = std::move(clean_ends);
}

void TrailingVerifier::end_clean(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (clean_ends_) clean_ends_(why);
}

void TrailingVerifier::hurry() {
  const std::lock_guard lock(mutex_);
  hurried_ = true;
  changed_.notify_all();
}

void TrailingVerifier::calm() {
  const std::lock_guard lock(mutex_);
  hurried_ = false;
  changed_.notify_all();
}

bool TrailingVerifier::catch_up(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const std::uint64_t before = looks_;
  for (;;) {
    const TrailStatus now = trail_.status();
    if (now.owed <= kLittle && (now.differing == 0 || looks_ != before)) return true;
    if (deadline.passed()) return false;
    changed_.wait_for(lock, kLookAtDebt);
  }
}

void TrailingVerifier::pause(milliseconds span, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, span, [&] { return hurried_; });
}

void TrailingVerifier::run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const milliseconds most = trail_.status().differing == 0 ? kIdle : kDifferingEvery;
    const bool owed = trail_.wait_for_debt(Clock::now() + most, stop);
    if (owed) pause(kDelay, stop);
    if (stop.stop_requested()) return;
    try {
      compare_some(stop);
    } catch (const Error& error) {
      // A side that is away is the pump's to report; the debt stays.
      sides_.reset();
      log_line(LogLevel::kDebug, fmt::format("verify: {}", error.what()));
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, kAfterFailedLook, [] { return false; });
    }
  }
}

void TrailingVerifier::compare_some(std::stop_token stop) {
  open(stop);
  trail_.drop_if_old();
  note_dropped();
  failpoint("verify.trail.before");
  if (trail_.begin_round()) {
    while (const auto part = trail_.next_part()) {
      if (!compare(*part, stop)) return;
    }
  }
  if (!look_again(stop)) return;
  trail_.end_round();
  failpoint("verify.trail.after");
}

/// At what differed: it may have been repaired, however much else there is to compare.
bool TrailingVerifier::look_again(const std::stop_token& stop) {
  if (Clock::now() < look_again_at_) return true;
  for (const Trail::Part& part : trail_.differing()) {
    if (!compare(part, stop)) return false;
  }
  look_again_at_ = Clock::now() + kDifferingEvery;
  const std::lock_guard lock(mutex_);
  ++looks_;
  changed_.notify_all();
  return true;
}

/// Of the bridge as it stands now. Throws outside of forward and reverse.
void TrailingVerifier::open(std::stop_token stop) {
  LiveSides now = live_sides(supervisor_, std::make_shared<const Pace>(0, std::move(stop)));
  if (sides_ && sides_->epoch == now.epoch && sides_->sides.mapping == now.sides.mapping) return;
  old_side_.reset();
  postgres_.reset();
  sides_.reset();
  old_side_ = now.sides.make_reader(Side::kOld);
  postgres_ = now.sides.make_reader(Side::kPostgres);
  for (RowReader* reader : {old_side_.get(), postgres_.get()}) reader->asked_for_applied_only();
  sides_ = std::move(now);
}

bool TrailingVerifier::compare(const Trail::Part& part, const std::stop_token& stop) {
  const auto begun = Clock::now();
  const ComparedPart compared =
      compare_part(sides_->sides, *sides_->pace, *old_side_, *postgres_, part);
  const std::uint64_t found = trail_.part_done(part, compared.differing, compared.again);
  if (found != 0) {
    for (const Trail::Differs& row : compared.differing) {
      log_warning(fmt::format("verify: {}", row.words));
    }
    end_clean(compared.differing.front().words);
  }
  pause(std::min(since(begun) * kRest, kMostRest), stop);
  return !stop.stop_requested();
}

void TrailingVerifier::note_dropped() {
  const TrailStatus now = trail_.status();
  if (now.dropped == dropped_) return;
  dropped_ = now.dropped;
  end_clean(now.why_dropped);
}

}  // namespace switchback
