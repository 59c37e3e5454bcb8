// Changes that the server refused when they were tried alone, kept until their batch ends: what
// they collide with may move away or come later in the same batch (a unique value handed from row
// to row, a parent after its child). What still fails then is turned away. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replication/pipeline.h"
#include "state/ports/change_sink.h"

namespace switchback {

class HeldChanges {
 public:
  /// Applies the changes or leaves no trace of them and says why.
  using Attempt =
      std::function<std::optional<RowError>(const Chunk&, std::span<const std::uint32_t>)>;

  /// `mapping` must outlive it.
  explicit HeldChanges(const Mapping& mapping) : mapping_(mapping) {}

  void hold(const Chunk& chunk, const Change& change, std::string key, RowError error);
  /// A later change of this key replaces the one held.
  void drop(TableId table, std::string_view key);
  /// Tries again, all together and then one by one, until nothing moves any more. At the batch's
  /// end `last` lets orphans lose their reference where the table's policy says so.
  void settle(const Attempt& attempt, bool last);
  /// What is still held, as rejects.
  void report(std::vector<Reject>& rejects) const;

  bool empty() const { return held_.empty(); }
  std::size_t bytes() const { return chunk_.bytes(); }
  void clear();

 private:
  struct Held {
    std::uint32_t change;  // in chunk_
    TableId table;
    std::string key;
    RowError error;
  };
  bool try_each(const Attempt& attempt, bool forward);
  bool null_orphans(const Attempt& attempt);
  bool null_orphan(const Attempt& attempt, const Held& held) const;

  const Mapping& mapping_;
  Chunk chunk_;
  std::vector<Held> held_;
};

}  // namespace switchback
