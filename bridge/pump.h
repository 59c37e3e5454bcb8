// The one pump: source -> sink -> acknowledge, in both directions. The durable order of the whole
// project is written here, once: apply, make durable, record the position, acknowledge. Its one
// thread alone touches the source and the sink; every public function may be called by any thread.
// A failure that may pass (a lost connection, a full disk) is tried again with growing pauses and
// shown in progress(); any other stops the pump, with nothing lost, until restart().
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "bridge/apply_speed.h"
#include "bridge/second_tries.h"
#include "state/base/deadline.h"
#include "state/base/error.h"
#include "state/model/position.h"
#include "state/ports/change_sink.h"
#include "state/ports/change_source.h"
#include "state/ports/row_reader.h"

namespace switchback {

class Trail;

enum class PumpState {
  kConnecting,  // making its source and sink
  kFlowing,
  kParked,    // holds no transaction on either side
  kRetrying,  // waits before it connects again
  kStopped,   // needs a person
};

std::string_view to_string(PumpState state) noexcept;

struct PumpProgress {
  PumpState state = PumpState::kConnecting;
  Position applied;  // committed on the target
  Position durable;  // would survive a power loss there
  Lag lag;
  SourceCounts counts;  // since the pump was made
  std::vector<SourceTrouble> troubles;
  std::uint64_t changes = 0;  // since the pump was made
  std::uint64_t batches = 0;
  std::uint64_t rejected = 0;
  std::uint64_t quarantined = 0;  // open entries at the target
  double changes_per_second = 0;  // over the last seconds
  ApplySpeed speed;               // while it has something to do
  std::optional<Error> error;     // the last one, until something was applied after it
  std::chrono::milliseconds retry_in{0};
};

struct PumpOptions {
  std::chrono::milliseconds retry_first{100};
  std::chrono::milliseconds retry_most{10'000};
  /// The source knows what is due and which moment is good; this is how often it is asked.
  std::chrono::milliseconds housekeeping_every{100};
  std::uint64_t seed = 0;  // of the jitter in retries
  Trail* trail = nullptr;  // told of what is applied; outlives the pump
};

class Pump {
 public:
  struct Parts {
    std::unique_ptr<ChangeSource> source;
    std::unique_ptr<ChangeSink> sink;
    /// Of the source's side, for rows of which it sends a part only; called when one is needed.
    std::function<std::unique_ptr<RowReader>()> make_reader = {};
    /// By what the sink's book says now; empty: nothing is tried again.
    std::function<std::unique_ptr<SecondTries>()> make_second_tries = {};
  };
  /// Called on the pump's thread at start and after each failure; may throw Error.
  using MakeParts = std::function<Parts()>;
  /// Somebody else's work with the pump's parts, at the position that the sink holds.
  using Job = std::function<void(Parts&, const Position& applied)>;

  Pump(std::string name, MakeParts make_parts, PumpOptions options = {});
  /// Stops: what is not committed is rolled back and comes again next time.
  ~Pump();
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  /// Begins to flow. Once.
  void start();
  /// True once everything up to `position` is applied and durable on the target; false at the
  /// deadline, or as soon as the pump has stopped for good.
  bool wait_applied(const Position& position, Deadline deadline);
  /// True once the pump flows (or is parked); false at the deadline.
  bool wait_flowing(Deadline deadline);
  /// Waits until the pump stands between two batches with no transaction open on either side, and
  /// keeps it there until resume(). False at the deadline; then it flows on.
  bool park(Deadline deadline);
  void resume();
  /// While held, the source does no housekeeping that could disturb the application, and no job is
  /// begun: those that wait are refused, and what is under way ends first.
  void hold_housekeeping(bool held);
  /// Runs `job` on the pump's thread between two batches, when no transaction is open on either
  /// side, once and as soon as there is such a moment. The future has what it throws, after which
  /// the pump has rolled back and connects anew; or Error(kBusy) if it is never begun: the pump is
  /// parked, held, stopped or ends.
  std::future<void> submit(Job job);
  /// Tries again at once after an error, also after one that stopped the pump.
  void restart();
  PumpProgress progress() const;

 private:
  void run(std::stop_token stop);
  void flow(Parts& parts, std::stop_token stop);
  void take(const Chunk& chunk, Parts& parts, std::vector<Reject>& rejects);
  void note_speed(bool whole, std::uint64_t changes, Deadline::Clock::time_point began);
  void supply_wanted(const Position& boundary, Parts& parts, std::vector<Reject>& rejects);
  void publish_durable(Parts& parts);
  void note_counts(const SourceCounts& counts);
  void publish_lag(Parts& parts);
  void stand_parked(Parts& parts, std::stop_token stop);
  bool run_jobs(Parts& parts);
  void housekeep(Parts& parts);
  void begin_second_tries(Parts& parts);
  void try_again(Parts& parts);
  bool wait_after(const Error& error, std::stop_token stop);
  void refuse_jobs(const std::string& why);
  void set_state(PumpState state);
  void wake_source();
  Deadline next_look() const;

  const std::string name_;
  const MakeParts make_parts_;
  const PumpOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  PumpProgress progress_;           // guarded by mutex_
  bool park_wanted_ = false;        // guarded by mutex_
  bool housekeeping_held_ = false;  // guarded by mutex_
  bool restart_wanted_ = false;     // guarded by mutex_
  ChangeSource* awake_ = nullptr;   // guarded by mutex_: whom wake_source() may call
  struct Submitted {
    Job job;
    std::promise<void> done;
  };
  std::deque<Submitted> jobs_;  // guarded by mutex_
  bool occupied_ = false;       // guarded by mutex_: a job or housekeeping is under way

  // The pump's thread only.
  bool mid_batch_ = false;
  ApplySpeedometer speedometer_;
  std::chrono::microseconds batch_took_{0};  // of the batch under way
  std::uint64_t batch_changes_ = 0;          // likewise
  std::unique_ptr<SecondTries> second_tries_;
  SourceCounts counts_before_;  // of the sources before this one
  int failures_ = 0;
  std::minstd_rand random_;
  std::optional<Position> told_compared_;  // to this source
  Deadline::Clock::time_point last_housekeeping_{};
  Deadline::Clock::time_point last_lag_{};
  Deadline::Clock::time_point rate_since_{};
  std::uint64_t rate_changes_ = 0;

  std::jthread thread_;  // last: joined before anything above goes
};

}  // namespace switchback
