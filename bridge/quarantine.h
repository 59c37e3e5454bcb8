// What an operator does with the rows that the other side could not take: have them tried again,
// accept the difference, or do without them there. The command asks the running sidecar for it, or
// does it with a supervisor of its own. Runs on the pump's thread, in parts, each one transaction;
// every part is in the audit log before it takes effect.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/supervisor.h"
#include "state/ports/endpoint.h"

namespace switchback {

/// A change that the primary holds back is an entry, too: accepted, it goes through.
enum class QuarantineAction {
  kRetry,   // read the row again from the primary and apply it
  kAccept,  // leave the other side's row as it is, and stop blocking flips
  kDrop,    // delete the other side's row, and stop blocking flips
};

std::string_view to_string(QuarantineAction action) noexcept;

/// Which entries are meant; empty members match everything.
struct QuarantineFilter {
  std::string table = {};  // schema.table, or the table's name alone
  std::string key = {};    // 42, or as an entry has it: ["42","x"]

  bool matches(const QuarantineEntry& entry) const;
};

struct QuarantineOrder {
  QuarantineAction action = QuarantineAction::kRetry;
  QuarantineFilter filter = {};
  std::string by = {};
};

/// What `status` says to a person where there are open entries.
std::string quarantine_needs_you(std::uint64_t open);
/// As a shell takes it.
std::string shell_word(std::string text);
/// What is to be done about a trouble of the source, for `status` and for a flip.
std::string trouble_cure(const SourceTrouble& trouble);

std::string to_json(const QuarantineOrder& order);
/// Throws Error(kUsage).
QuarantineOrder parse_quarantine_order(std::string_view json);

struct QuarantineResult {
  std::string table;
  std::string key;
  bool done = false;
  std::string what;  // what happened, or why nothing did
};

/// Throws what Supervisor::with_pump() throws; parts that were done by then stay done.
std::vector<QuarantineResult> act_on_quarantine(Supervisor& supervisor,
                                                const QuarantineOrder& order);

std::string to_json(const std::vector<QuarantineResult>& results);
/// Throws Error(kInternal) on anything else than to_json() writes.
std::vector<QuarantineResult> parse_quarantine_results(std::string_view json);

}  // namespace switchback
