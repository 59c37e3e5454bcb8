// The audit log: one JSON line for every phase change, flip and operator command, appended and
// synced, each carrying the SHA-256 of the line before it, so that a line changed or removed later
// shows. Number and hash of the last line stand in a file of their own, so that the end shows, too.
// Kept in the state directory as audit.jsonl and audit.head. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "state/base/unique_fd.h"

namespace switchback {

struct AuditEntry {
  std::string event;   // "phase", "cutover", "rollback", "abandon", "install" …
  std::string by;      // who asked: "sidecar", or the operating system's user name
  std::string detail;  // a JSON value; empty means null
};

class AuditLog {
 public:
  using Clock = std::function<std::chrono::system_clock::time_point()>;

  /// Opens or creates the log. A last line that a crash left unfinished was never promised to
  /// anybody and is cut off. Throws Error(kDisk).
  static AuditLog open(const std::filesystem::path& state_dir,
                       Clock clock = std::chrono::system_clock::now);

  AuditLog(AuditLog&& other) noexcept;

  /// Durable when it returns. Throws Error(kDisk).
  void append(const AuditEntry& entry);

 private:
  AuditLog(std::filesystem::path path, UniqueFd fd, Clock clock);
  void mend_head(std::string_view text) const;
  void follow_head();
  void write_head() const;

  std::filesystem::path path_;
  Clock clock_;
  std::mutex mutex_;
  UniqueFd fd_;           // guarded by mutex_, as all below
  std::string previous_;  // hash of the last line, empty before the first
  std::uint64_t next_ = 1;
};

inline constexpr const char* kAuditFile = "audit.jsonl";
inline constexpr const char* kAuditHead = "audit.head";
/// The entry that names a certificate and its page with their hashes, and their folder there.
inline constexpr std::string_view kCertificateEvent = "certificate";
inline constexpr const char* kCertificates = "certificates";

/// What audit.head says of the last line: "seq hash".
struct AuditHead {
  std::uint64_t seq = 0;  // 0: it says nothing
  std::string hash = {};
};
std::string to_text(const AuditHead& head);
AuditHead parse_audit_head(std::string_view text);

}  // namespace switchback
