// The last look of a comparison: keys whose rows seemed to differ are read on both sides, again and
// again while the application writes, until each is seen to be equal, or to differ although nobody
// has changed it. First the primary is read, then, once the other side has all that the primary had
// then, the other side. A row that is the same at the primary before and after, and at the other
// side each time, and not equal, differs; one that moves is looked at again. Called by the sweep
// and by the trailing verifier; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <unordered_map>
#include <vector>

#include "bridge/verify/sides.h"
#include "state/model/meaning.h"

namespace switchback {

/// One key as both sides have it. A change is nullptr where the side has no such row.
struct SeenApart {
  std::span<const Cell> key;
  const Chunk& keys;  // holds `key`
  const Change* primary = nullptr;
  const Chunk& of_primary;
  const Change* other = nullptr;
  const Chunk& of_other;
};

class Suspects {
 public:
  /// Called for a row that differs.
  using OnDifference = std::function<void(const SeenApart&)>;
  /// Called before: true if it is meant to differ so, and nothing is to be told.
  using IsMeant = std::function<bool(const SeenApart&)>;

  Suspects(const VerifySides& sides, const Pace& pace, const TableMap& map, RowReader& primary,
           RowReader& other);

  void tell(OnDifference on_difference, IsMeant is_meant = {});

  /// A row that the primary changes between two looks is done: whoever sees that change will ask
  /// for the row again.
  void leave_what_moves() { leaves_what_moves_ = true; }

  /// Looks at the keys (any changes of the chunk; each must be one that can be fetched) until all
  /// are told or `most_rounds` are over; returns those that moved each time, as deletes. Throws
  /// what the readers throw, and Error(kBusy) if the other side does not catch up.
  Chunk follow(const Chunk& keys, int most_rounds);

 private:
  struct Look {
    std::uint32_t at;  // in the chunk of keys
    Hash128 key, primary, other;
    bool looked = false, moved = false;
    int alike = 0;  // how often the last two looks were the same
  };
  enum class Verdict { kEqual, kDiffers, kAgain };

  void round(const Chunk& keys, std::vector<Look>& open);
  void look_at(const Chunk& keys, std::span<Look> part, std::vector<Look>& again);
  Verdict judge(Look& look, const Hash128& primary, const Hash128& other) const;
  using Found = std::unordered_map<std::uint64_t, const Change*>;
  Found index_of(const Chunk& rows);
  Hash128 hash_of_row(const Change* change, const Chunk& rows);

  const VerifySides& sides_;
  const Pace& pace_;
  const TableMap& map_;
  RowReader& primary_;
  RowReader& other_;
  RowHasher hasher_;
  OnDifference on_difference_;
  IsMeant is_meant_;
  bool leaves_what_moves_ = false;
  std::size_t at_once_;
  std::minstd_rand random_;
};

}  // namespace switchback
