// What a comparison needs of a bridge: the tables, which side is primary, how rows are read on
// either side, how to tell that changes have been carried over, and how to hold itself back. The
// verifier and the flip fill it; tests fill it with toys.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bridge/verify/pace.h"
#include "bridge/verify/row_pair.h"
#include "state/base/deadline.h"
#include "state/model/phase.h"
#include "state/model/position.h"
#include "state/model/table_map.h"
#include "state/ports/endpoint.h"
#include "state/ports/row_reader.h"

namespace switchback {

struct VerifySides {
  std::shared_ptr<const Mapping> mapping;
  Side primary = Side::kOld;
  /// A reader of its own for whoever calls. Any thread.
  std::function<std::unique_ptr<RowReader>(Side)> make_reader;
  /// True once the other side holds all that the primary had at this position; false at the
  /// deadline. May throw Error.
  std::function<bool(const Position&, Deadline)> carried;
  /// Of types that travel as text, whose spelling is PostgreSQL's own; empty: spelling counts.
  SameInPostgres same_in_postgres = {};
  /// What the other side could not take, as of now.
  std::function<std::vector<QuarantineEntry>()> quarantine;
};

/// Where a sweep is, for whoever watches.
struct VerifyProgress {
  std::string table;  // schema.table
  std::string step;   // "reading", "looking closer", "comparing"
  std::uint64_t rows = 0;
  std::uint64_t rows_total = 0;  // about
  std::size_t tables_done = 0, tables = 0;
};

}  // namespace switchback
