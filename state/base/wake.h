// An eventfd that ends a poll(2) from another thread: how a pump is told to look up without waiting
// for its source's next event. Thread-safe.
#pragma once

#include "state/base/unique_fd.h"

namespace switchback {

class Wake {
 public:
  Wake();
  void set() noexcept;
  /// Takes all pending signals.
  void clear() noexcept;
  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace switchback
