// What was applied and has not been compared since: the trailing verifier's debt. The pump notes
// the keys, TrailingVerifier takes them and says what became of each. In memory only: the source
// keeps its own log from compared() on and tells it again after a crash (ChangeSource::compared),
// and a small file says from where. A debt that grows too large or too old is dropped; that is a
// blind spot, which only a full comparison ends. One object per sidecar; every function may be
// called by any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/phase.h"
#include "state/model/position.h"
#include "state/model/table_map.h"

namespace switchback {

struct TrailStatus {
  std::uint64_t owed = 0;             // changes applied and not compared yet
  std::chrono::milliseconds age{0};   // of the oldest of them
  std::uint64_t compared = 0;         // rows, since the sidecar started
  std::uint64_t differing = 0;        // rows that differed when they were last looked at
  std::uint64_t found = 0;            // differences since the sidecar started
  std::uint64_t dropped = 0;          // how often a debt was given up, since the sidecar started
  std::string why_dropped;            // the last one
  std::vector<std::string> examples;  // of those that differ, in words
  friend bool operator==(const TrailStatus&, const TrailStatus&) = default;
};

struct TrailLimits {
  std::size_t bytes = std::size_t{8} << 20;  // of keys
  std::chrono::milliseconds age = std::chrono::minutes(10);
  std::size_t keys_at_once = 512;
};

class Trail {
 public:
  explicit Trail(std::filesystem::path file, TrailLimits limits = {});

  /// A pump to that side is about to begin; the last one has ended.
  void turn(Side to, std::shared_ptr<const Mapping> mapping);
  /// Nothing of what was applied so far is owed: the load has just read it.
  void forget();

  // ---- the pump
  /// The target holds `applied`. Returns from where on the source has to keep and tell again.
  Position begin(const Position& applied);
  /// Before the commit of what is applied; also of what the source tells again.
  void note(const Chunk& changes);
  void committed(const Position& boundary);
  Position compared() const;

  // ---- whoever compares
  /// False at the deadline, or on a stop.
  bool wait_for_debt(std::chrono::steady_clock::time_point until, const std::stop_token& stop);
  /// Part of a round: keys, as deletes, of one table.
  struct Part {
    std::uint64_t turn = 0;
    std::uint64_t number = 0;  // of a round's
    TableId table{};
    Chunk keys;
  };
  /// All that is owed now becomes a round, if the last one has ended. False if nothing is.
  bool begin_round();
  std::optional<Part> next_part() const;
  /// One row of a part.
  struct Differs {
    std::string key;    // key_text()
    std::string words;  // for a person
  };
  /// That part was compared; `again` are keys of it that could not be judged.
  /// Returns how many of them did not differ the last time.
  std::uint64_t part_done(const Part& part, const std::vector<Differs>& differing,
                          const Chunk& again);
  /// Writes down now and then how far everything was compared.
  void end_round();
  /// All that is owed, and what differed when it was last looked at: by table, each key once.
  std::vector<Part> outstanding() const;
  /// Only what differed.
  std::vector<Part> differing() const;
  /// Gives up a debt that is too old.
  void drop_if_old();

  TrailStatus status() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Name = std::pair<TableId, std::string>;

  std::optional<Position> read_mark(Side to) const;
  void write_mark();
  void settle();
  void compact();
  void drop(std::string why);
  std::vector<Part> collapse(const std::vector<Chunk>& keys) const;
  void add_differing(std::vector<Chunk>& keys) const;

  const std::filesystem::path file_;
  const TrailLimits limits_;

  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable_any changed_;
  std::uint64_t turn_ = 0;
  std::optional<Side> to_;
  std::shared_ptr<const Mapping> mapping_;
  bool begun_ = false;                  // since turn()
  std::optional<Position> begin_from_;  // where the next begin() may take up
  Position committed_, compared_;
  std::optional<Position> written_;
  Clock::time_point written_at_{};

  std::vector<Chunk> fresh_;
  std::size_t fresh_bytes_ = 0, compact_at_ = 0;
  Clock::time_point fresh_since_{}, round_since_{};
  bool skipping_ = false;  // what comes up to the next boundary was given up
  std::deque<Part> round_;
  std::uint64_t parts_ = 0;
  Position round_until_;
  bool round_whole_ = true;  // nothing of it was put back
  bool in_round_ = false;
  std::map<Name, std::string> differing_;
  TrailStatus counts_;
};

}  // namespace switchback
