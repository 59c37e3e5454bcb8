#include "state/base/file_calls.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "state/base/error.h"

namespace switchback {

void fail_with_errno(const std::filesystem::path& path, const char* step, const char* next) {
  throw Error(ErrorKind::kDisk, Retry::kLater, std::string(step) + ": " + std::strerror(errno),
              {.object = path.string(), .next = next});
}

void write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_with_errno(path, "write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace switchback
