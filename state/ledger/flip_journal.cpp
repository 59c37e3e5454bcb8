#include "state/ledger/flip_journal.h"

#include <fmt/format.h>

#include <sstream>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

// "deciding GROUP TO EPOCH HISTORY VALUE PROOF", or "none". Group names hold no blanks (the
// configuration refuses them).
constexpr const char* kDeciding = "deciding";
constexpr const char* kNone = "none\n";

}  // namespace

void FlipJournal::decide(const FlipDecision& decision) {
  failpoint("flip.journal.decide.before");
  replace_file(
      file_,
      fmt::format("{} {} {} {} {} {} {}\n", kDeciding, decision.group, to_string(decision.to),
                  decision.epoch, decision.mark.history, decision.mark.value, decision.mark.proof),
      0600);
  failpoint("flip.journal.decide.after");
}

void FlipJournal::clear() {
  if (read_file(file_) == kNone) return;
  failpoint("flip.journal.clear.before");
  replace_file(file_, kNone, 0600);
  failpoint("flip.journal.clear.after");
}

std::optional<FlipDecision> FlipJournal::pending() const {
  const std::string text = read_file(file_);
  if (text.empty() || text == kNone) return std::nullopt;
  std::istringstream in(text);
  std::string word;
  std::string side;
  FlipDecision decision;
  in >> word >> decision.group >> side >> decision.epoch >> decision.mark.history >>
      decision.mark.value >> decision.mark.proof;
  const auto to = parse_side(side);
  if (!in || word != kDeciding || !to) {
    throw Error(ErrorKind::kData, Retry::kNever, "this is no flip journal",
                {.object = file_.string(),
                 .next = "keep the file, and compare both stores before any side is opened"});
  }
  decision.to = *to;
  return decision;
}

}  // namespace switchback
