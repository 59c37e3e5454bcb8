// What a comparison of both sides found, as plain data: filled by the sweep, turned into the JSON
// that programs read and `verify --json` prints, back from it by the command, and into the words a
// person reads. Pure; a report belongs to whoever holds it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/phase.h"

namespace switchback {

enum class DifferenceSort {
  kValue,              // a column differs
  kMissingInPostgres,  // the row is in the old store only
  kMissingInOld,       // the row is in PostgreSQL only
  kMisfit,             // the row cannot be expressed on the other side
};

/// Why a difference is not one that nobody knows of.
enum class Known { kNot, kQuarantined, kAccepted };

struct Difference {
  DifferenceSort sort = DifferenceSort::kValue;
  std::string key;        // a JSON array of strings, as in quarantine: ["42","x"]
  std::string column;     // in PostgreSQL; empty: the whole row
  std::string old_value;  // shortened; empty of a row that is not there
  std::string postgres_value;
  std::string cause;  // the likely one, in words
  Known known = Known::kNot;
  bool repaired = false;  // re-applied from the primary, and equal since
};

struct TableReport {
  std::string name;  // schema.table in PostgreSQL
  std::uint64_t rows_old = 0;
  std::uint64_t rows_postgres = 0;
  std::vector<Difference> differences;
  std::uint64_t more = 0;              // rows that differ too, beyond those listed
  std::uint64_t unsettled = 0;         // keys that changed each time they were looked at
  std::vector<std::string> one_sided;  // columns that are not compared, and why
  std::string problem;                 // why the table could not be compared; empty if it was

  /// Nothing differs but what an operator accepted, or was repaired.
  bool identical() const;
  /// Every difference is in quarantine: known to somebody.
  bool explained() const;
};

struct VerifyReport {
  std::string started;  // UTC, ISO 8601: "identical" holds from then on
  std::string finished;
  Side primary = Side::kOld;
  std::chrono::milliseconds took{0};
  std::vector<TableReport> tables;
  std::string kept;  // a file: what the other side had of the rows repaired; empty if nothing

  bool identical() const;
  bool explained() const;
  /// Whether rows were re-applied, and are equal since.
  bool repaired() const;
  std::uint64_t rows_differing() const;
  /// The first of them in one line, or what kept a table from being compared; empty if neither.
  std::string example() const;
};

std::string to_json(const VerifyReport& report);
/// Reads to_json()'s form. Throws Error(kInternal) on anything else.
VerifyReport parse_verify_report(std::string_view json);
/// For a terminal: each difference, and a last line that says whether the sides are identical.
std::string to_text(const VerifyReport& report);

}  // namespace switchback
