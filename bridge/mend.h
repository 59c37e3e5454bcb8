// What `switchback doctor --fix` asks of whoever holds the state directory, and the answer, as they
// travel. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bridge/resync.h"
#include "state/model/phase.h"

namespace switchback {

struct MendOrder {
  /// Who is to be primary; empty: who is, if that is beyond doubt.
  std::optional<Side> primary;
  std::string by;  // for the audit log
};

struct MendReport : Resynced {
  Side primary = Side::kOld;
  Epoch epoch = 0;
};

/// Where it is, for whoever waits.
struct MendProgress {
  bool running = false;
  VerifyProgress compared;
};

std::string to_json(const MendOrder& order);
/// Throws Error(kUsage).
MendOrder parse_mend_order(std::string_view json);
std::string to_json(const MendReport& report);
std::string to_json(const MendProgress& progress);
/// Reads the form of either: empty while it runs. Throws Error(kInternal).
std::optional<MendReport> parse_mend_answer(std::string_view json);

}  // namespace switchback
