// A supervisor with a face: status, metrics and the admin server around it, as `switchback run`
// starts them. Threads are the supervisor's caller and the admin server's own.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "bridge/admin_server.h"
#include "bridge/metrics.h"
#include "bridge/status.h"
#include "bridge/supervisor.h"
#include "bridge/verifier.h"

namespace switchback {

class Sidecar {
 public:
  explicit Sidecar(Supervisor& supervisor);

  Status status();
  /// Flips and answers with the JSON of `cutover --json`. Throws what Supervisor::flip() throws.
  std::string flip(const FlipOrder& order);

 private:
  AdminHandlers handlers();
  bool flowing() const;
  std::string metrics();

  Supervisor& supervisor_;
  Metrics metrics_;
  Verifier verifier_;
  std::unique_ptr<AdminServer> server_;  // last: its threads call the members above
};

/// What an order means by this configuration.
FlipRequest to_request(const FlipOrder& order, const Config& config);

/// The picture as the words and numbers people and programs read.
Status to_status(const Config& config, const Picture& picture);

}  // namespace switchback
