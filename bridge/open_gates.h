// What looks at both gates of a site shares: the gates, opened, and which phase a primary means.
// One thread.
#pragma once

#include <chrono>
#include <memory>

#include "bridge/flip.h"
#include "bridge/site.h"
#include "state/model/phase.h"

namespace switchback {

/// How long a look at who may write may take.
inline constexpr std::chrono::seconds kLookWithin{10};

inline Phase phase_of(Side primary) {
  return primary == Side::kOld ? Phase::kForward : Phase::kReverse;
}

struct OpenGates {
  std::unique_ptr<WriteGate> old_side;
  std::unique_ptr<WriteGate> postgres;
  explicit OpenGates(const Site& site)
      : old_side(site.old_side->make_gate(site.group())),
        postgres(site.postgres->make_gate(site.group())) {}
  Gates gates() const { return {*old_side, *postgres}; }
};

}  // namespace switchback
