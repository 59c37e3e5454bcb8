#include "state/ports/write_gate.h"

namespace switchback {

std::vector<Obstacle> obstacles_of(const std::vector<GateCheck>& checks) {
  std::vector<Obstacle> found;
  for (const GateCheck& check : checks) {
    if (!check.ok) found.push_back({check.value, check.cure});
  }
  return found;
}

}  // namespace switchback
