#include "state/base/wake.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

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

Wake::End Wake::wait(std::chrono::steady_clock::time_point until, int also) {
  std::array<pollfd, 2> fds{{{fd_.get(), POLLIN, 0}, {also, POLLIN, 0}}};
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    const auto left = std::max(std::chrono::nanoseconds(0), until - now);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec timeout{seconds.count(), (left - seconds).count()};
    const int ready = ::ppoll(fds.data(), fds.size(), &timeout, nullptr);
    if (ready == 0) return End::kTime;
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) {
      throw Error(ErrorKind::kInternal, Retry::kLater,
                  std::string("poll: ") + std::strerror(errno));
    }
    if ((fds[0].revents & POLLIN) == 0) return End::kReadable;
    clear();
    return End::kWoken;
  }
}

void Wake::clear() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd_.get(), &count, sizeof count);
}

}  // namespace switchback
