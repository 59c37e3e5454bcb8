// The trailing verifier: compares each row that was applied once more shortly afterwards, hot rows
// once for many changes, at a bounded part of a core. What differs is named in the log and kept in
// the Trail, where status and metrics read it. Before a flip it is told to hurry. One thread of its
// own; every function may be called by any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "bridge/verify/live.h"
#include "bridge/verify/trail.h"

namespace switchback {

class Supervisor;

class TrailingVerifier {
 public:
  /// Both outlive it.
  TrailingVerifier(Supervisor& supervisor, Trail& trail);
  TrailingVerifier(const TrailingVerifier&) = delete;
  TrailingVerifier& operator=(const TrailingVerifier&) = delete;
  ~TrailingVerifier();

  /// Whom to tell, in words, that the two sides may no longer be called clean; nobody if empty.
  void tell(std::function<void(const std::string&)> clean_ends);

  /// Tells so: something was found elsewhere.
  void end_clean(const std::string& why);

  /// Without pauses from now on, until calm().
  void hurry();
  void calm();
  /// True once little is owed and what differed was looked at again; false at the deadline.
  bool catch_up(Deadline deadline);

 private:
  void run(std::stop_token stop);
  void compare_some(std::stop_token stop);
  bool look_again(const std::stop_token& stop);
  bool compare(const Trail::Part& part, const std::stop_token& stop);
  void open(std::stop_token stop);
  void note_dropped();
  void pause(std::chrono::milliseconds span, const std::stop_token& stop);

  Supervisor& supervisor_;
  Trail& trail_;

  std::mutex mutex_;  // guards all that follows
  std::condition_variable_any changed_;
  std::function<void(const std::string&)> clean_ends_;
  bool hurried_ = false;
  std::uint64_t looks_ = 0;  // how often it looked again at what differed

  // Its thread only.
  std::optional<LiveSides> sides_;
  std::unique_ptr<RowReader> old_side_, postgres_;
  std::uint64_t dropped_ = 0;
  std::chrono::steady_clock::time_point look_again_at_{};

  std::jthread thread_;  // last: joined before anything above goes
};

}  // namespace switchback
