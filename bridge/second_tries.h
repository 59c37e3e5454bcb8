// Rows in quarantine whose cause may be gone are tried again by themselves: a row whose parent has
// arrived, a delete that rows referred to until these went, a unique value that another row gave
// up. Which change may help is known, so that nothing is tried at every batch: an orphan waits for
// the key of its parent, the others for changes of the table that is in their way. Those that wait
// for each other are tried once together. At most a small round every second, and never more than a
// tenth of the time. Used by the pump, on its thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "bridge/waiting_orphans.h"
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
  struct Watchers {
    std::set<RowName> names;
    RowName last_called;  // the next in turn comes after it
  };

  void note_applied(const Chunk& chunk, const Change& change);
  void log_rejected(std::span<const Reject> rejects);
  void wait_anew(const RowName& name);
  void call_watchers();
  Chunk take_keys(std::set<RowName>& names);
  bool read(const Chunk& keys, const MakeReader& make_reader, Chunk& rows);
  std::size_t sort_out(const Chunk& rows, std::span<const Reject> rejects,
                       const std::set<RowName>& tried);
  void forget(const RowName& name);
  void wait_for_cause(const Chunk& rows, const Change& change, const Reject& reject);
  void wait_for_parents(const Chunk& rows, const Change& change, const RowName& name);
  void call_circle(const RowName& name, const std::set<RowName>& tried);
  void call_fellows(const std::set<RowName>& tried);
  std::uint64_t parent_hash(TableId parent, const std::vector<std::uint16_t>& parent_columns,
                            const Chunk& chunk, std::span<const Cell> row,
                            const std::vector<std::uint16_t>& columns) const;

  const std::shared_ptr<const Mapping> mapping_;
  std::vector<std::set<std::vector<std::uint16_t>>> referenced_;  // by parent: columns of its keys
  std::vector<std::set<TableId>> children_;                       // by parent

  std::deque<RowName> due_;
  std::set<RowName> is_due_;
  WaitingOrphans orphans_;
  std::set<TableId> parents_;             // of orphans_
  std::map<TableId, Watchers> watchers_;  // who waits for any change of a table
  std::set<TableId> touched_;             // of those, since they were last called
  std::chrono::milliseconds patience_;
  Deadline::Clock::time_point next_round_{};
  Deadline::Clock::time_point next_call_{};
  Deadline::Clock::time_point logged_{};
  int logged_rows_ = 0;  // since then
};

}  // namespace switchback
