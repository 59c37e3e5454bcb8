#include "state/ledger/audit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "state/base/json_text.h"
#include "state/base/sha256.h"
#include "state/base/utc_text.h"

namespace switchback {

std::string to_text(const AuditHead& head) {
  return fmt::format("{} {}\n", head.seq, head.hash);
}

AuditHead parse_audit_head(std::string_view text) {
  AuditHead head;
  const auto blank = text.find(' ');
  if (blank == text.npos || !text.ends_with('\n')) return {};
  if (std::from_chars(text.data(), text.data() + blank, head.seq).ec != std::errc()) return {};
  head.hash = text.substr(blank + 1, text.size() - blank - 2);
  return head;
}

AuditLog::AuditLog(std::filesystem::path path, UniqueFd fd, Clock clock)
    : path_(std::move(path)), clock_(std::move(clock)), fd_(std::move(fd)) {}

AuditLog::AuditLog(AuditLog&& other) noexcept
    : path_(std::move(other.path_)),
      clock_(std::move(other.clock_)),
      fd_(std::move(other.fd_)),
      previous_(std::move(other.previous_)),
      next_(other.next_) {}

AuditLog AuditLog::open(const std::filesystem::path& state_dir, Clock clock) {
  const auto path = state_dir / kAuditFile;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd) fail_with_errno(path, "open");
  std::string text = read_file(path);
  const auto end = text.rfind('\n');
  const std::size_t whole = end == text.npos ? 0 : end + 1;
  if (whole != text.size() && ::ftruncate(fd.get(), static_cast<off_t>(whole)) != 0) {
    fail_with_errno(path, "cut off an unfinished line");
  }
  text.resize(whole);
  AuditLog log(path, std::move(fd), std::move(clock));
  if (!text.empty()) {
    text.pop_back();
    const auto start = text.rfind('\n');
    const std::string_view all(text);
    log.previous_ = sha256_of(start == text.npos ? all : all.substr(start + 1));
    log.next_ = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')) + 2;
    log.mend_head(text);
  }
  log.follow_head();
  return log;
}

// A crash between a line and the note of it leaves the note one behind. Only then is it written
// anew: whatever else it says is for the check to tell.
void AuditLog::mend_head(std::string_view text) const {
  const std::string head = read_file(path_.parent_path() / kAuditHead);
  const auto last = text.rfind('\n');
  const std::string_view before = last == text.npos ? "" : text.substr(0, last);
  const auto start = before.rfind('\n');
  const std::string expected =
      before.empty()
          ? ""
          : to_text(
                {next_ - 2, sha256_of(start == before.npos ? before : before.substr(start + 1))});
  if (head == expected) write_head();
}

// Whatever became of the file meanwhile, the chain goes on from what was written last: if its end
// was cut off or changed, the gap is there for every check to come.
void AuditLog::follow_head() {
  AuditHead head = parse_audit_head(read_file(path_.parent_path() / kAuditHead));
  if (head.seq + 1 < next_ || head.seq == 0) return;
  next_ = head.seq + 1;
  previous_ = std::move(head.hash);
}

void AuditLog::write_head() const {
  replace_file(path_.parent_path() / kAuditHead, to_text({next_ - 1, previous_}), 0600);
}

void AuditLog::append(const AuditEntry& entry) {
  const std::lock_guard lock(mutex_);
  JsonWriter json;
  json.begin_object()
      .member("seq", next_)
      .member("at", utc_text_ms(clock_()))
      .member("event", entry.event)
      .member("by", entry.by)
      .key("detail")
      .raw(entry.detail.empty() ? "null" : std::string_view(entry.detail))
      .member("prev", previous_)
      .end_object();
  const std::string line = json.take();
  const off_t before = ::lseek(fd_.get(), 0, SEEK_END);
  try {
    write_all(fd_.get(), line + "\n", path_);
    failpoint("audit.sync.before");
    if (::fsync(fd_.get()) != 0) fail_with_errno(path_, "fsync");
    failpoint("audit.sync.after");
  } catch (const Error&) {
    // A half-written or unsynced line must not become the predecessor of the next one.
    if (before >= 0 && ::ftruncate(fd_.get(), before) != 0) fd_.reset();
    throw;
  }
  previous_ = sha256_of(line);
  ++next_;
  write_head();
}

}  // namespace switchback
