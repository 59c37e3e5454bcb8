#include "state/base/wake.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "state/base/error.h"

namespace switchback {

Wake::Wake() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_) throw Error(ErrorKind::kInternal, Retry::kLater, "eventfd: no descriptor to be had");
}

void Wake::set() noexcept {
  const std::uint64_t one = 1;
  // A full counter already means "set", so a failed write loses nothing.
  [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
}

void Wake::clear() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd_.get(), &count, sizeof count);
}

}  // namespace switchback
