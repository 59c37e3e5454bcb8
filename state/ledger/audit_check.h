// Reads the audit log and tells whether it is as it was written: a line that was changed, removed
// or put elsewhere breaks the chain of hashes, and is named. A last line that a crash left
// unfinished is no such thing. Certificates are compared with what the log says of them. It shows
// what somebody did to the files; not who rewrites all of them, the head included. Pure but for
// reading; may run beside a sidecar that writes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace switchback {

struct AuditFindings {
  std::vector<std::string> lines;   // whole ones, as written
  std::vector<std::string> faults;  // in words; empty: nothing is wrong
  bool unfinished = false;          // a crash cut the last line off; the next start mends it
};

/// Throws Error(kDisk) if the files are there and cannot be read.
AuditFindings check_audit(const std::filesystem::path& state_dir);

}  // namespace switchback
