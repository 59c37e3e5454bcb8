// The sidecar's small HTTP server: health, metrics, status, which side is primary, and flips. Reads
// are open on a loopback address; every change needs the token of the state directory, and away
// from loopback so does everything but health, metrics and /is/*. The Host header is checked, so
// that a web page in somebody's browser cannot speak to it under a name of its own. Owns its
// threads; the handlers are called on them, several at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bridge/mend.h"
#include "bridge/status.h"
#include "bridge/verify/order.h"
#include "state/model/phase.h"

namespace switchback {

/// The body of POST /flip.
struct FlipOrder {
  Side to = Side::kPostgres;
  std::string group = "all";
  std::optional<std::chrono::milliseconds> max_pause;  // empty: as configured
  bool dry_run = false;
  bool drill = false;
  std::string by;  // who asked, for the audit log
};

/// What the sidecar plugs in. All that it asks for must be set; any may throw Error, which becomes
/// the answer.
struct AdminHandlers {
  std::function<bool()> ready;  // flowing, or settled with nothing to do
  std::function<Status()> status;
  std::function<std::string()> metrics;                     // Prometheus' text form
  std::function<std::optional<Side>()> primary;             // empty: neither, or not known yet
  std::function<std::string(const FlipOrder&)> flip;        // JSON
  std::function<std::uint64_t(const VerifyOrder&)> verify;  // begins; returns its number
  std::function<std::string(std::uint64_t)> verify_answer;  // JSON: how far it is, or the report
  std::function<std::string(const std::string& order)> quarantine;  // JSON for JSON
  std::function<void(const MendOrder&)> mend = {};                  // begins
  std::function<std::string()> mend_answer = {};                    // JSON: how far it is, or done
};

struct AdminOptions {
  std::string host = "127.0.0.1";
  int port = 7733;         // 0: any free one
  bool fall_back = false;  // to any free port, if that one is taken
  std::string token;
  std::filesystem::path address_file;  // where the address is written for the command line
};

class AdminServer {
 public:
  /// Listens when it returns. Throws Error(kUsage) if the address cannot be had.
  AdminServer(AdminOptions options, AdminHandlers handlers);
  /// Ends the requests under way and removes the address file.
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  int port() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// The header that carries the token.
inline constexpr const char* kTokenHeader = "X-Switchback-Token";

std::string to_json(const FlipOrder& order);
/// Throws Error(kUsage).
FlipOrder parse_flip_order(std::string_view json);

}  // namespace switchback
