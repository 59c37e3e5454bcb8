// One side as the target of changes. A sink is used by one thread, the pump's. What it applies, the
// keys it had to turn away and the position are committed together, so that a restart continues
// exactly there and any repeated apply is harmless.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/position.h"

namespace switchback {

/// The SQLSTATE of a row whose parent is missing, and of a parent that rows refer to.
inline constexpr std::string_view kForeignKeyViolation = "23503";

/// A change the target cannot take. A key and a reason, never an image: a retry reads the row anew.
struct Reject {
  TableId table{};
  std::string key;       // the key cells as a JSON array of strings: ["42","x"]
  std::string reason;    // in words, with the constraint or type it failed on
  std::string sqlstate;  // PostgreSQL's word for it where the target has one; may be empty
  // A person said to leave the difference as it is: written down, but it blocks no flip.
  bool accepted = false;
};

class ChangeSink {
 public:
  virtual ~ChangeSink() = default;

  /// The position this side holds, read from the target itself, {} if none yet. Also takes the
  /// target for this sink alone where it can (a second sidecar throws Error(kRefused)).
  virtual Position applied() = 0;

  /// Applies all changes of the chunk inside the open transaction (begun if none is). Changes that
  /// cannot be applied are undone one by one and appended to `rejects`; the rest stays applied.
  /// Throws Error when the transaction as a whole failed; the caller then calls rollback().
  virtual void apply(const Chunk& chunk, std::vector<Reject>& rejects) = 0;

  /// Asked after the apply() of a boundary: keys (as deletes) of rows of which the source sent a
  /// part only, and that are missing, or lack an earlier change that was refused. The caller may
  /// apply() their current rows, in a chunk with the same boundary, before commit(); they are
  /// rejects until then.
  virtual Chunk wanted_rows() { return {}; }

  /// Follows the apply() of the chunk that carried this boundary, which may be the moment at which
  /// a sink lets the earlier chunks of the batch in.
  /// Rows, rejects and position become visible and (see durable()) durable together. Applying a key
  /// successfully also ends its earlier quarantine.
  virtual void commit(const Position& position, std::span<const Reject> rejects) = 0;

  /// Gives up the open transaction, if there is one.
  virtual void rollback() noexcept = 0;

  /// The last position that would survive a power loss now: the only one to acknowledge. Throws
  /// what a sync behind the commits met.
  virtual Position durable() = 0;

  /// Open quarantine entries at this side; accepted ones are not open.
  virtual std::uint64_t quarantined() = 0;
};

/// The key (the first key_width cells) in the form that Reject::key has.
std::string key_text(const Chunk& chunk, std::span<const Cell> key);

/// The way back: appends a delete of that key to `out`. False if the text is no whole key: that of
/// a whole table, or one that was too long to be kept.
bool add_key_of(const TableMap& table, std::string_view key, Chunk& out);

}  // namespace switchback
