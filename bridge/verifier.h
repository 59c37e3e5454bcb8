// The sidecar's own verifier: compares both sides from time to time at a bounded rate, and at once
// when `switchback verify` asks; remembers what the last full comparison said and ends "clean" when
// something happened that no comparison of single changes could see. One thread of its own; every
// function may be called by any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "bridge/status.h"
#include "bridge/supervisor.h"
#include "bridge/verify/footing.h"
#include "bridge/verify/live.h"

namespace switchback {

struct VerifyPlan {
  std::chrono::milliseconds every{0};  // between the end of one and the next; 0: only when asked
  std::uint64_t rows_per_second = 0;   // of the sidecar's own; 0: as fast as it can
  std::chrono::milliseconds first{5'000};  // after the bridge has come up
  std::chrono::milliseconds watch_every{20'000};
};

class Verifier {
 public:
  Verifier(Supervisor& supervisor, VerifyPlan plan);
  /// Ends a comparison under way.
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  /// Begins the comparison and returns its number; one of the sidecar's own gives way. Throws
  /// Error(kRefused) if another that somebody asked for is under way.
  std::uint64_t order(const VerifyOrder& order);
  /// JSON: {"running":true,"table",…} or the report. Throws what the comparison threw, or
  /// Error(kUsage) for a number that is not the last one given out.
  std::string answer(std::uint64_t run) const;
  /// The last comparison of all tables, also of an earlier sidecar; empty before the first.
  std::optional<VerifyStatus> last() const;
  /// What happened while it ran that it may not have seen, in words; empty if nothing did.
  std::string disturbed() const;
  /// Looks at fences, capture and tables now, and ends "clean" if they are not as they were.
  /// Throws what a side throws.
  void look_for_blind_spots();

 private:
  /// How everything stood whose change ends "clean".
  struct Grounds {
    Epoch epoch = 0;
    std::uint64_t unexplained = 0;
    std::uint64_t found = 0, dropped = 0;  // by the trailing verifier
    Footing footing;
  };

  void run(std::stop_token stop);
  void sweep(const VerifyOrder& order, bool asked, std::stop_token stop);
  static std::string why_not_clean(const VerifyReport& report, const std::string& disturbed);
  void conclude(const VerifyOrder& order, const VerifyReport& report, const Grounds& before);
  void keep(const VerifyStatus& last);
  void end_clean(const std::string& why);
  Grounds grounds() const;
  static std::string what_changed(const Grounds& before, const Grounds& now);
  bool settled() const;

  Supervisor& supervisor_;
  const VerifyPlan plan_;
  const std::filesystem::path file_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<VerifyOrder> wanted_;  // guarded by mutex_
  std::uint64_t runs_ = 0;             // guarded by mutex_: of those asked for
  bool asked_runs_ = false;            // guarded by mutex_
  std::stop_source own_sweep_;         // guarded by mutex_: what order() ends
  VerifyProgress progress_;            // guarded by mutex_
  std::optional<std::string> report_;  // guarded by mutex_: of the last asked for
  std::optional<Error> error_;         // guarded by mutex_: likewise
  std::optional<VerifyStatus> last_;   // guarded by mutex_
  std::string disturbed_;              // guarded by mutex_
  bool soon_ = false;                  // guarded by mutex_: `clean` has ended
  std::optional<Grounds> grounds_;     // guarded by mutex_: of `clean`

  // Its thread only.
  std::chrono::steady_clock::time_point due_, look_due_;

  std::jthread thread_;  // last: joined before anything above goes
};

}  // namespace switchback
