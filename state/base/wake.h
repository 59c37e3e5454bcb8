// An eventfd that ends a wait from another thread: how a pump is told to look up without waiting
// for its source's next event. Thread-safe; one thread waits.
#pragma once

#include <chrono>

#include "state/base/unique_fd.h"

namespace switchback {

class Wake {
 public:
  enum class End { kTime, kWoken, kReadable };

  Wake();
  void set() noexcept;
  /// Takes all pending signals.
  void clear() noexcept;
  /// Until set() is called, whose signal it takes, `also` can be read (a descriptor; -1: nothing),
  /// or the time has come. Throws Error(kInternal).
  End wait(std::chrono::steady_clock::time_point until, int also = -1);
  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace switchback
