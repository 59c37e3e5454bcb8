// Rows in quarantine whose cause may be gone are tried again by themselves: a row whose parent has
// arrived, a delete that rows referred to until these went, a unique value that another row gave
// up. Which change may help is known, so that nothing is tried at every batch: an orphan waits for
// the key of its parent, the others for changes of the table that is in their way. At most a small
// round every second, and never more than a tenth of the time. Used by the pump, on its thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "state/base/deadline.h"
#include "state/ports/endpoint.h"

namespace switchback {

class SecondTries {
 public:
  using MakeReader = std::function<std::unique_ptr<RowReader>()>;

  /// `open`: what stands in the target's book. All of it that another row may be the cause of is
  /// tried once, for the cause may have gone while nobody looked.
  SecondTries(std::shared_ptr<const Mapping> mapping, const std::vector<QuarantineEntry>& open);

  void note_applied(const Chunk& chunk);
  void note_rejected(std::span<const Reject> rejects);

  /// Whether a round is due.
  bool due(Deadline::Clock::time_point now);
  /// Reads some of the rows and applies them in a transaction of their own. How many went in.
  /// Throws what the sink throws.
  std::size_t try_some(const Position& applied, const MakeReader& make_reader, ChangeSink& sink);

 private:
  using Name = std::pair<TableId, std::string>;  // key_text()

  void wait_anew(const Name& name);
  void call_watchers();
  Chunk take_keys(std::vector<Name>& names);
  bool read(const Chunk& keys, const MakeReader& make_reader, Chunk& rows);
  void wait_for_cause(const Chunk& rows, const Change& change, const Reject& reject);
  void wait_for_parents(const Chunk& rows, const Change& change, const Name& name);
  std::uint64_t parent_hash(TableId parent, const std::vector<std::uint16_t>& parent_columns,
                            const Chunk& chunk, std::span<const Cell> row,
                            const std::vector<std::uint16_t>& columns) const;

  const std::shared_ptr<const Mapping> mapping_;
  std::vector<std::set<std::vector<std::uint16_t>>> referenced_;  // by parent: columns of its keys
  std::vector<std::set<TableId>> children_;                       // by parent

  std::deque<Name> due_;
  std::set<Name> is_due_;
  std::unordered_map<std::uint64_t, std::vector<Name>> orphans_;  // by what they refer to
  std::set<TableId> parents_;                                     // of orphans_
  struct Watchers {
    std::set<Name> names;
    Name last_called;  // the next in turn comes after it
  };
  std::map<TableId, Watchers> watchers_;  // who waits for any change of a table
  std::set<TableId> touched_;             // of those, since they were last called
  std::chrono::milliseconds patience_;
  Deadline::Clock::time_point next_round_{};
  Deadline::Clock::time_point next_call_{};
};

}  // namespace switchback
