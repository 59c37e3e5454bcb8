// The one line that decides an interrupted flip: written durably after everything is drained and
// prepared, before the first side is closed. Recovery finds both gates closed and asks: was it
// decided? Kept in the state directory, replaced atomically. Used by one thread at a time.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "state/model/phase.h"
#include "state/model/position.h"

namespace switchback {

struct FlipDecision {
  std::string group;
  Side to = Side::kOld;
  Epoch epoch = 0;  // the one that opens `to`
  Position mark;    // what must be applied on `to` before it may open
};

class FlipJournal {
 public:
  explicit FlipJournal(std::filesystem::path file) : file_(std::move(file)) {}

  /// Durable when it returns. Throws Error(kDisk); then nothing was decided, or the caller must ask
  /// pending().
  void decide(const FlipDecision& decision);
  /// The flip is finished or undone. Idempotent.
  void clear();
  /// The decision that stands. Throws Error(kData) if the file is not one of ours.
  std::optional<FlipDecision> pending() const;

 private:
  std::filesystem::path file_;
};

}  // namespace switchback
