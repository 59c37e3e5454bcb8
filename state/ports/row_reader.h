// Reads current rows of one side: for the initial load, the verifier and repairs. Used by one
// thread; has a connection of its own and holds no snapshot between calls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/position.h"

namespace switchback {

/// The read saw a state of the source between these two positions.
struct Window {
  Position from, to;
};

/// How far a scan has come. `after` means something to the reader that made it only; it may be
/// stored and used by a later process to continue the scan.
struct ScanCursor {
  std::string after;
  bool done = false;
};

class RowReader {
 public:
  virtual ~RowReader() = default;

  /// Appends the next rows as upserts (misfits where a row cannot be expressed) until the chunk is
  /// full, the reader's own limit on one snapshot is reached or the table ends; moves the cursor.
  /// Throws Error(kHistory, later) if the cursor no longer means a place: begin with an empty one.
  virtual Window scan(TableId table, ScanCursor& cursor, Chunk& out) = 0;

  /// For each key of `keys` (any change of the chunk, its first key_width cells) appends an upsert
  /// with the current row, or a delete if there is none; each as it was somewhere in the window.
  virtual Window fetch(TableId table, const Chunk& keys, Chunk& out) = 0;

  /// From now on nobody commits to what is read, so that no fetch() need wait for commits under
  /// way.
  virtual void nobody_writes() {}
  /// From now on fetch() is asked only for what the sink has applied, so that it need not look
  /// first for what else may have come past a fence.
  virtual void asked_for_applied_only() {}
  /// From now on what is found changed behind a fence counts as known, so that a repair may write
  /// over it. Until then reading takes note of nothing.
  virtual void accept_what_is_there() {}

  /// Where to begin scans that meet every row between them, each with a reader of its own; at most
  /// `at_most`, and one where the table cannot be cut.
  virtual std::vector<ScanCursor> parts(TableId /*table*/, unsigned /*at_most*/) { return {{}}; }

  /// About how many rows there are; for progress and plans.
  virtual std::uint64_t estimate(TableId table) = 0;
};

}  // namespace switchback
