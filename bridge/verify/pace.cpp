#include "bridge/verify/pace.h"

#include <condition_variable>
#include <mutex>

#include "state/base/error.h"

namespace switchback {
namespace {

void wait_until(std::chrono::steady_clock::time_point until, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_until(lock, stop, until, [] { return false; });
  if (stop.stop_requested()) {
    throw Error(ErrorKind::kBusy, Retry::kLater, "the comparison was stopped");
  }
}

}  // namespace

void Pace::keep(std::chrono::steady_clock::time_point begun, std::uint64_t so_far) const {
  using namespace std::chrono;
  const auto due =
      rows_per_second_ == 0
          ? begun
          : begun + duration_cast<steady_clock::duration>(duration<double>(
                        static_cast<double>(so_far) / static_cast<double>(rows_per_second_)));
  wait_until(due, stop_);
}

void Pace::wait(std::chrono::milliseconds span) const {
  wait_until(std::chrono::steady_clock::now() + span, stop_);
}

}  // namespace switchback
