// Holds a comparison back to a number of rows a second, so that it takes a bounded part of a
// machine that somebody else pays for, and ends it when a stop is requested. One object per
// comparison; its functions may be called by the threads of both sides.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>

namespace switchback {

class Pace {
 public:
  /// 0: as fast as it can.
  Pace(std::uint64_t rows_per_second, std::stop_token stop)
      : rows_per_second_(rows_per_second), stop_(std::move(stop)) {}

  /// After reading `rows` of one side, which began with the table at `begun` and has read `so_far`
  /// of it: waits as long as that was too fast. Throws Error(kBusy) on a stop.
  void keep(std::chrono::steady_clock::time_point begun, std::uint64_t so_far) const;
  /// Throws Error(kBusy) on a stop, at once or during the wait.
  void wait(std::chrono::milliseconds span) const;
  const std::stop_token& stop() const { return stop_; }

 private:
  const std::uint64_t rows_per_second_;
  const std::stop_token stop_;
};

}  // namespace switchback
