// What a flip answers, as JSON and back: --json prints it, the sidecar sends it to the command, the
// certificate and the audit log keep it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bridge/flip.h"
#include "bridge/supervisor.h"
#include "state/base/json_text.h"

namespace switchback {

/// The members "flipped", "primary", "epoch", "pause_ms", "drain_ms", "tries", "obstacles",
/// "predicted", "measured" and "gates", into an object that has been begun.
void write_outcome(JsonWriter& json, const FlipOutcome& outcome);
/// An object of them.
std::string flip_json(const FlipOutcome& outcome);
/// The same and "certificate": its path, or null.
std::string report_json(const FlipReport& report);

/// What the command has to say of an answer.
struct FlipAnswer {
  bool flipped = false;
  std::string primary;
  Epoch epoch = 0;
  double pause_ms = 0;
  std::string certificate;  // empty if not flipped
  std::vector<Obstacle> obstacles;
  bool drilled = false;
  double predicted_ms = 0;
  double predicted_change_over_ms = 0;  // the part of it that a drill leaves out
  std::vector<FlipCheck> checks;
};

/// Throws Error(kInternal) if it is not what report_json() writes.
FlipAnswer parse_report(std::string_view json);

}  // namespace switchback
