// What the state directory remembers of both gates: a side that comes back with a lower epoch is an
// older copy of itself, restored from a backup or failed over to, and must not be taken for the
// side it was. Flips raise epochs on both sides, so every restore from before a flip is noticed
// here; those since are for the positions to notice. Used by the supervisor; one thread.
#pragma once

#include <filesystem>

#include "state/model/phase.h"

namespace switchback {

class EpochRecord {
 public:
  explicit EpochRecord(std::filesystem::path file) : file_(std::move(file)) {}

  /// Throws Error(kHistory) if a gate's epoch is lower than the one on record.
  void require_not_older(const GateState& old_side, const GateState& postgres) const;
  /// Durable when it returns.
  void note(Epoch old_side, Epoch postgres);
  /// The highest of both on record; 0 if there is none.
  Epoch highest() const;
  /// The bridge was installed anew on both sides: their counting began again.
  void forget();

 private:
  std::filesystem::path file_;
};

}  // namespace switchback
