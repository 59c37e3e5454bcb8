#include "watchers/files/spooled_text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

#include "state/base/file_calls.h"

namespace switchback {
namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20;

}  // namespace

SpooledText::SpooledText(std::filesystem::path folder) : folder_(std::move(folder)) {
  file_ = UniqueFd(::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file_) return;
  // Not every file system has O_TMPFILE.
  std::string name = (folder_ / "spool-XXXXXX").string();
  file_ = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
  if (!file_ || ::unlink(name.c_str()) != 0) fail_with_errno(folder_, "holds no temporary file");
}

void SpooledText::append(std::string_view text) {
  if (buffer_.size() + text.size() > kBuffer) flush();
  if (text.size() <= kBuffer) {
    buffer_ += text;
    return;
  }
  write_all(file_.get(), text, folder_);
  written_ += text.size();
}

void SpooledText::flush() {
  write_all(file_.get(), buffer_, folder_);
  written_ += buffer_.size();
  buffer_.clear();
}

std::string SpooledText::take() {
  flush();
  std::string out(written_, '\0');
  std::size_t length = 0;
  while (length < out.size()) {
    const ssize_t n =
        ::pread(file_.get(), out.data() + length, out.size() - length, static_cast<off_t>(length));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) fail_with_errno(folder_, "a temporary file in it cannot be read");
    length += static_cast<std::size_t>(n);
  }
  return out;
}

}  // namespace switchback
