// The words that states and positions have in logs, files and JSON.
#include <fmt/format.h>

#include "state/model/cell.h"
#include "state/model/phase.h"
#include "state/model/position.h"

namespace switchback {

std::string_view to_string(Side side) noexcept {
  return side == Side::kOld ? "old" : "postgres";
}

std::optional<Side> parse_side(std::string_view word) noexcept {
  if (word == "old") return Side::kOld;
  if (word == "postgres") return Side::kPostgres;
  return std::nullopt;
}

std::string_view to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::kIdle:
      return "idle";
    case Phase::kSnapshot:
      return "snapshot";
    case Phase::kForward:
      return "forward";
    case Phase::kFlipping:
      return "flipping";
    case Phase::kReverse:
      return "reverse";
    case Phase::kComplete:
      return "complete";
  }
  return "unknown";
}

std::string_view to_string(GateState::Door door) noexcept {
  switch (door) {
    case GateState::Door::kOpen:
      return "open";
    case GateState::Door::kClosed:
      return "closed";
    case GateState::Door::kTorn:
      return "torn";
  }
  return "unknown";
}

std::string_view to_string(Kind kind) noexcept {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kUnchanged:
      return "unchanged";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kReal:
      return "real";
    case Kind::kDecimal:
      return "decimal";
    case Kind::kText:
      return "text";
    case Kind::kBytes:
      return "bytes";
    case Kind::kJson:
      return "json";
    case Kind::kTimestamp:
      return "timestamp";
    case Kind::kDate:
      return "date";
    case Kind::kUuid:
      return "uuid";
  }
  return "unknown";
}

std::string to_string(const Position& position) {
  return fmt::format("{:x}:{}", position.history, position.value);
}

}  // namespace switchback
