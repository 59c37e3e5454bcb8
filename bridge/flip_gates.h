// The gates of a flip: what is looked at before anything is locked, on both sides, at the pump and
// wherever the caller says, each with how it stands, what it may be at most and what cures it.
// Used by the flip, which refuses if one is not met, and by what prints and keeps them. Stateless.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bridge/pause.h"
#include "bridge/pump.h"
#include "state/base/json_text.h"
#include "state/model/phase.h"
#include "state/ports/write_gate.h"

namespace switchback {

struct FlipCheck {
  std::string where;  // "old", "postgres", or "bridge"
  GateCheck check;
};

std::string_view command_for(Side to);

/// The pump's own: that it flows, its lag, quarantine and what it cannot read.
std::vector<FlipCheck> pump_checks(const PumpProgress& pump, Side to);
FlipCheck pause_check(const PausePredicted& predicted, std::chrono::milliseconds max_pause,
                      Side to);
GateCheck quarantine_check(const PumpProgress& pump, Side to);

void add_checks(std::string_view where, std::vector<GateCheck> checks,
                std::vector<FlipCheck>& into);
/// What of them stands in the way.
std::vector<Obstacle> obstacles_of(const std::vector<FlipCheck>& checks);
/// Only what passes by itself within seconds is in the way: a lag.
bool may_pass(const std::vector<FlipCheck>& checks);

/// An array of {"name","side","value","limit","ok","cure","best_effort"}.
void write_checks(JsonWriter& json, const std::vector<FlipCheck>& checks);
/// For a terminal: one line each, cures below those that are not met.
std::string to_text(const std::vector<FlipCheck>& checks);

}  // namespace switchback
