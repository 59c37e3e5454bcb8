// Who is right, for as long as `switchback doctor --fix` is under way: in between both gates may be
// closed, and their epochs then say who was closed last, not who has what must not be lost. Written
// before the first change and ended after the last, so that whoever comes after a crash goes on
// with the same side and opens no other. Used by the supervisor and the command; one thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "state/model/phase.h"

namespace switchback {

struct MendingBegun {
  Side primary = Side::kOld;
  std::string by;

  friend bool operator==(const MendingBegun&, const MendingBegun&) = default;
};

class MendingRecord {
 public:
  explicit MendingRecord(std::filesystem::path file) : file_(std::move(file)) {}

  /// Durable when it returns; takes the place of an earlier one. Throws Error(kDisk).
  void begin(const MendingBegun& begun);
  /// All is settled, or nothing was begun. Durable when it returns. Throws Error(kDisk).
  void end();
  /// What was begun and has not come to its end. Throws Error(kData) if that cannot be read.
  std::optional<MendingBegun> pending() const;
  /// Throws Error(kHistory) if there is such a one.
  void require_none() const;

 private:
  std::filesystem::path file_;
};

}  // namespace switchback
