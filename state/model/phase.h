// The words of the one rule: every group has a primary, changes flow from it, the other side is
// fenced.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace switchback {

enum class Side { kOld, kPostgres };

constexpr Side other(Side side) {
  return side == Side::kOld ? Side::kPostgres : Side::kOld;
}

enum class Phase { kIdle, kSnapshot, kForward, kFlipping, kReverse, kComplete };

/// Raised by every flip, kept on both sides and in the state directory.
using Epoch = std::uint64_t;

/// What one side durably says of one group, changed in the same transaction as its fence.
struct GateState {
  enum class Door { kOpen, kClosed, kTorn };  // torn: the fence is not as the stored state says
  Door door = Door::kOpen;
  Epoch epoch = 0;
  friend bool operator==(const GateState&, const GateState&) = default;
};

std::string_view to_string(Side side) noexcept;    // "old", "postgres"
std::string_view to_string(Phase phase) noexcept;  // "idle", "snapshot", "forward", …
std::string_view to_string(GateState::Door door) noexcept;
std::optional<Side> parse_side(std::string_view word) noexcept;

}  // namespace switchback
