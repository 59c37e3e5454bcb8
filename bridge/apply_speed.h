// How fast a pump applies: what a batch takes however small it is, and what each change adds,
// learned from the batches so far, of which later ones count more. Tells how long a drain will
// take. Pure; one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace switchback {

struct ApplySpeed {
  std::chrono::microseconds per_batch{0};
  double us_per_change = 0;  // 0: not known yet

  std::chrono::microseconds needed(std::uint64_t changes) const {
    const double us = us_per_change * static_cast<double>(changes);
    return std::chrono::microseconds(static_cast<std::chrono::microseconds::rep>(us));
  }
};

class ApplySpeedometer {
 public:
  void learn(std::uint64_t changes, std::chrono::microseconds took) {
    const auto n = static_cast<double>(changes);
    const auto t = static_cast<double>(took.count());
    for (double* sum : {&count_, &n_, &t_, &nn_, &nt_}) *sum *= kForget;
    count_ += 1;
    n_ += n;
    t_ += t;
    nn_ += n * n;
    nt_ += n * t;
  }
  /// The straight line through the batches: time over changes.
  ApplySpeed speed() const {
    if (count_ < 1) return {};
    const double spread = nn_ - n_ * n_ / count_;
    // Batches of one size do not tell the two apart: small ones cost what each takes, large ones
    // what their changes do.
    const double alike = n_ > kManyChanges * count_ ? t_ / n_ : 0;
    double slope = spread > kLeastSpread ? (nt_ - n_ * t_ / count_) / spread : alike;
    // Never more than the batches took altogether, whatever a few odd ones say.
    slope = n_ > 0 ? std::clamp(slope, 0.0, t_ / n_) : 0;
    const double each = (t_ - slope * n_) / count_;
    return {
        std::chrono::microseconds(static_cast<std::chrono::microseconds::rep>(each > 0 ? each : 0)),
        slope};
  }

 private:
  static constexpr double kForget = 0.98;
  static constexpr double kLeastSpread = 1.0;
  static constexpr double kManyChanges = 1000;
  double count_ = 0, n_ = 0, t_ = 0, nn_ = 0, nt_ = 0;
};

}  // namespace switchback
