// Ctrl-C and SIGTERM as a stop request. Make one in main's thread before any other thread starts:
// the signals are blocked in all of them and taken by one of its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

namespace switchback {

class StopOnSignal {
 public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  /// Waits so long, or until a stop is requested; then false.
  bool wait(std::chrono::milliseconds span);

 private:
  std::stop_source source_;
  std::mutex mutex_;
  std::condition_variable_any never_;
  std::jthread thread_;
};

}  // namespace switchback
