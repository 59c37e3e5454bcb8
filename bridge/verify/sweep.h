// A full comparison of both sides, on live data, with memory that does not grow with it: all rows
// of a table into buckets, the rows of unequal buckets once more by key, and the keys that seem to
// differ looked at until that is certain. Every difference is named; --repair applies what the
// primary has to the other side. Used by the command when it is alone and by the sidecar; one
// thread, which starts another for the second side while tables are read.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "bridge/verify/buckets.h"
#include "bridge/verify/report.h"
#include "bridge/verify/sides.h"
#include "bridge/verify/suspects.h"

namespace switchback {

class Sweep {
 public:
  using Report = std::function<void(const VerifyProgress&)>;
  /// Applies the rows that the primary has under these keys of one table (or their absence) to the
  /// other side. Throws Error.
  using Reapply = std::function<void(const Chunk& keys)>;

  /// `most_listed`: rows that differ which a report lists and a repair takes in hand; the rest is
  /// counted.
  Sweep(VerifySides sides, Pace pace, Report tell, std::uint64_t most_listed = 10'000);

  /// Compares the tables. A table that cannot be read now is reported as a problem; throws Error if
  /// a side is not there, or on a stop.
  VerifyReport run(const std::vector<TableId>& tables);
  /// After run(): applies again what differs, and looks whether it still does. Called once more, it
  /// takes in hand what did.
  void repair(VerifyReport& report, const Reapply& reapply);

 private:
  using Take = std::function<void(Side, const Change&, const Chunk&, RowHasher&)>;
  struct Keys {
    Chunk surplus;  // the primary has no such row
    Chunk others;
  };

  void compare(TableReport& report, const TableMap& map);
  void compare_once(TableReport& report, const TableMap& map);
  void read_both(const TableMap& map, const char* step, const Take& take);
  void read_side(Side side, const TableMap& map, const char* step, const Take& take,
                 const std::atomic<bool>& ended);
  Chunk gather(const TableMap& map, const std::vector<bool>& buckets, TableReport& report);
  Chunk follow(const TableMap& map, const Chunk& keys, const Suspects::OnDifference& differs);
  void note(const TableMap& map, const SeenApart& seen, TableReport& report);
  void mark_known(TableReport& report, TableId table);
  void reapply_all(Chunk Keys::*part, std::vector<TableId> order, const Reapply& reapply);
  void look_again(TableReport& report, TableId table);
  void open_readers();
  RowReader& reader(Side side) { return *readers_[side == Side::kOld ? 0 : 1]; }

  const VerifySides sides_;
  const Pace pace_;
  const Report tell_;
  const std::uint64_t most_listed_;
  std::unique_ptr<RowReader> readers_[2];
  std::map<TableId, Keys> differing_;  // keys as deletes: what repair() is about
  std::uint64_t listed_ = 0;           // rows
  VerifyProgress progress_;
};

}  // namespace switchback
