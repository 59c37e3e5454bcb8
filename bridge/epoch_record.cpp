#include "bridge/epoch_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "state/base/durable_file.h"
#include "state/base/error.h"

namespace switchback {
namespace {

// Two numbers: the old side's, PostgreSQL's.
constexpr const char* kNone = "0 0\n";

void require(std::string_view side, const GateState& gate, Epoch recorded) {
  if (gate.epoch >= recorded) return;
  throw Error(
      ErrorKind::kHistory, Retry::kNever,
      fmt::format("{} stands at epoch {}, but was at epoch {}: it is an older copy, "
                  "restored from a backup or failed over to, and what was written since is "
                  "not in it",
                  side, gate.epoch, recorded),
      {.object = std::string(side),
       .next = "put the newer one back; or see with `switchback doctor` what each side has, "
               "and say with `switchback doctor --fix --primary old` (or postgres) which "
               "of them is right"});
}

}  // namespace

void EpochRecord::require_not_older(const GateState& old_side, const GateState& postgres) const {
  const std::string text = read_file(file_);
  if (text.empty()) return;
  std::istringstream in(text);
  Epoch recorded_old = 0;
  Epoch recorded_postgres = 0;
  in >> recorded_old >> recorded_postgres;
  if (!in) {
    throw Error(ErrorKind::kData, Retry::kNever, "this is no record of epochs",
                {.object = file_.string(), .next = "keep the file aside, and compare both stores"});
  }
  require("the old store", old_side, recorded_old);
  require("PostgreSQL", postgres, recorded_postgres);
}

Epoch EpochRecord::highest() const {
  std::istringstream in(read_file(file_));
  Epoch of_old = 0;
  Epoch of_postgres = 0;
  in >> of_old >> of_postgres;
  return std::max(of_old, of_postgres);
}

void EpochRecord::note(Epoch old_side, Epoch postgres) {
  const std::string text = fmt::format("{} {}\n", old_side, postgres);
  if (read_file(file_) != text) replace_file(file_, text, 0600);
}

void EpochRecord::forget() {
  if (!read_file(file_).empty()) replace_file(file_, kNone, 0600);
}

}  // namespace switchback
