// What a bridge is doing, as plain data: filled by the sidecar (or, when none runs, by reading
// both sides), turned into the JSON that programs read, the text that people read, and back from
// the JSON by the command line. Pure; a Status belongs to whoever holds it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/last_verify.h"
#include "bridge/verify/trail.h"
#include "state/model/phase.h"
#include "state/ports/change_source.h"

namespace switchback {

struct GroupStatus {
  std::string name;
  Phase phase = Phase::kIdle;
  std::optional<Side> primary;  // empty: neither side is open now
  Epoch epoch = 0;
  std::optional<Lag> lag;  // empty: unknown
};

struct TableStatus {
  std::string name;        // schema.table in PostgreSQL
  std::uint64_t rows = 0;  // about
};

struct SideStatus {
  Side side = Side::kOld;
  std::string where;  // a path, or host and database; never a password
  bool up = false;
  std::string error;  // the last one, while it matters
  std::chrono::milliseconds retry_in{0};
};

struct LoadStatus {
  std::string table;
  std::uint64_t rows = 0;
  std::uint64_t rows_total = 0;  // about
  double rows_per_second = 0;
  bool done = false;
};

struct Status {
  std::string bridge;
  bool running = false;  // a sidecar wrote this; false: read from both sides
  std::vector<GroupStatus> groups;
  std::uint64_t quarantined = 0;
  std::vector<TableStatus> tables;
  std::vector<SideStatus> sides;
  std::vector<LoadStatus> load;  // tables of an initial load under way
  double changes_per_second = 0;
  std::uint64_t changes = 0;  // applied since the sidecar started
  std::uint64_t batches = 0;
  SourceCounts counts;                      // of the pump that runs
  std::optional<VerifyStatus> last_verify;  // empty: none yet
  TrailStatus trail;                        // of the sidecar that runs
  std::vector<SourceTrouble> unread;        // what the pump cannot read now
  std::vector<std::string> needs_you;       // what waits for a person, with the next command
};

std::string to_json(const Status& status);
/// A few lines for a terminal.
std::string to_text(const Status& status);
/// Reads to_json()'s form. Throws Error(kInternal) on anything else.
Status parse_status(std::string_view json);

}  // namespace switchback
