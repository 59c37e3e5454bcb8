// The sidecar's life: opens both sides, installs, loads, recovers an interrupted flip, keeps the
// one pump of the present phase running, and flips when asked. It resumes whatever phase it finds;
// the truth about the phase is in the two gates, never in memory. Public functions may be called by
// any thread; start() once, before the others.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "bridge/columns_record.h"
#include "bridge/epoch_record.h"
#include "bridge/flip.h"
#include "bridge/last_verify.h"
#include "bridge/mend.h"
#include "bridge/mending_record.h"
#include "bridge/pause.h"
#include "bridge/pump.h"
#include "bridge/site.h"
#include "bridge/snapshot.h"
#include "bridge/status.h"
#include "bridge/verify/read_hold.h"
#include "bridge/verify/trail.h"
#include "state/ledger/audit.h"
#include "state/ledger/flip_journal.h"
#include "state/ledger/run_dir.h"
#include "state/ledger/state_dir.h"
#include "state/model/phase.h"

namespace switchback {

/// What status and metrics are made of.
struct Picture {
  Phase phase = Phase::kIdle;
  Side primary = Side::kOld;
  Epoch epoch = 0;
  PumpProgress pump;
  TrailStatus trail;                // what was applied and not compared since
  LoadProgress load;                // in phase snapshot
  std::vector<TableStatus> tables;  // rows about, as of the last bring-up
  std::optional<Error> error;       // why start() is still trying
};

/// The full comparison that a flip stands on, and whether it may.
struct SweepStands {
  GateCheck check;
  std::optional<VerifyStatus> sweep;  // empty: there was none
};
/// Asked before anything is locked; may take as long as a comparison. Empty: nobody can tell.
using AskForSweep = std::function<SweepStands()>;

struct FlipReport {
  FlipOutcome outcome;
  std::optional<VerifyStatus> sweep;
  std::filesystem::path certificate;  // empty if not flipped
};

struct FlipLook;
class TrailingVerifier;

class Supervisor {
 public:
  explicit Supervisor(Config config);
  ~Supervisor();

  /// The sidecar's main loop, until a stop is requested: brings the bridge up, however long a side
  /// is away, and again whenever a flip was cut off in the middle. Throws Error that a person must
  /// act upon.
  void run(std::stop_token stop);
  /// One round of it: returns when the pump flows or a stop is requested.
  void start(std::stop_token stop);

  /// Flips, or says why not. Only one at a time: a second caller gets Error(kBusy).
  FlipReport flip(const FlipRequest& request, const std::string& by, const AskForSweep& ask = {});

  /// Runs `job` with the pump's parts, between two of its batches; see Pump::submit(). Throws what
  /// the job throws; Error(kRefused) outside of the phases forward and reverse; Error(kBusy) if
  /// there was no such moment in time, and then the job may still run later.
  void with_pump(Pump::Job job);

  /// Makes both sides follow one another again, whatever happened to them: see bridge/mending.h.
  /// By whoever runs no main loop; with one, order_mend() has it done there. Throws Error.
  MendReport mend(const MendOrder& order, std::stop_token stop, const Sweep::Report& tell);
  /// Throws Error(kRefused) if one is under way.
  void order_mend(const MendOrder& order);
  /// JSON: how far it is, or what it did. Throws what it threw, or Error(kUsage) if none was asked
  /// for.
  std::string mend_answer() const;

  /// Into the audit log. Throws Error(kDisk).
  void note(const AuditEntry& entry) { audit_.append(entry); }

  Picture picture() const;
  /// As opened by the last bring-up; empty before the first.
  std::shared_ptr<const Site> site() const;
  const Config& config() const { return config_; }
  const StateDir& state_dir() const { return state_; }
  TrailingVerifier& trailing() { return *trailing_; }
  /// What keeps comparisons from reading while a flip holds its locks.
  ReadHold& reads() { return reads_; }

 private:
  void bring_up(std::stop_token stop);
  void mend_as_ordered(const MendOrder& order, std::stop_token stop);
  void look_at_tables();
  void look_who_is_open();
  void require_own_state();
  void require_logical_wal();
  void install();
  void require_same_tables();
  void recover_flip();
  bool drain_decided(const FlipDecision& decision, Deadline deadline);
  static void require_same_log(const Site& site);
  void start_pump(Side to);
  void settle_other_side();
  void forget_followed();
  void count_rows();
  std::vector<GateCheck> own_gates(const FlipRequest& request, const AskForSweep& ask,
                                   std::optional<VerifyStatus>& sweep) const;
  GateCheck trail_gate() const;
  FlipOutcome run_flip(const FlipRequest& request, const std::string& by, const AskForSweep& ask,
                       std::optional<VerifyStatus>& sweep);
  void conclude(const FlipRequest& request, const std::string& by, FlipReport& report);
  void begin_again(const FlipRequest& request, const Error& error);
  void require_can_flip() const;
  void tell(bool closing);
  void notify();
  void set_phase(Phase phase);
  FlipHooks hooks(const FlipRequest& request, std::shared_ptr<FlipLook> look);
  LockCompare compare_under_lock(FlipLook& look, Deadline deadline);
  void prepare(FlipLook& look);
  std::shared_ptr<Pump> pump() const;

  const Config config_;
  StateDir state_;
  AuditLog audit_;
  RunDir run_dir_;
  FlipJournal journal_;
  EpochRecord epochs_;
  const PauseBook pauses_;
  ColumnsRecord columns_;
  MendingRecord mending_record_;
  std::mutex flip_mutex_;  // held for the whole of a flip
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool bring_up_again_ = false;  // guarded by mutex_: a flip failed, and the gates must be asked
  Picture picture_;              // guarded by mutex_, but for its pump
  std::optional<MendOrder> mend_wanted_;                    // guarded by mutex_
  MendProgress mending_;                                    // guarded by mutex_
  std::variant<std::monostate, MendReport, Error> mended_;  // guarded by mutex_: the last one
  bool gates_unknown_ = false;  // the main loop's own: a mend failed, and nobody has looked since
  // Set by the main loop alone, and guarded by mutex_ for everybody else.
  std::shared_ptr<const Site> site_;
  Trail trail_;                 // outlives the pump
  std::shared_ptr<Pump> pump_;  // guarded by mutex_
  ReadHold reads_;
  std::unique_ptr<TrailingVerifier> trailing_;  // last: its thread asks this object
};

}  // namespace switchback
