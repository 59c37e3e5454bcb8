#include "bridge/verify/suspects.h"

#include <algorithm>
#include <utility>

#include "bridge/verify/columns.h"
#include "bridge/verify/row_hash.h"
#include "state/base/error.h"
#include "state/model/copy_change.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How long the other side may need to have what the primary had.
constexpr seconds kCarriedWithin{60};
// How often two looks must be alike; more often where the row has been seen to move, since one that
// goes back and forth could by chance be met at the same place each time.
constexpr int kAlikeAtRest = 2;
constexpr int kAlikeAfterMoving = 8;
// Rows of any size come back at once: few at first, then about as many as fill two chunks.
constexpr std::size_t kFirstAtOnce = 64;
constexpr std::size_t kMostAtOnce = 1024;
constexpr std::size_t kBytesAtOnce = 2 * Chunk::kFullBytes;
constexpr int kMostPauseMs = 200;

}  // namespace

Suspects::Suspects(const VerifySides& sides, const Pace& pace, const TableMap& map,
                   RowReader& primary, RowReader& other)
    : sides_(sides),
      pace_(pace),
      map_(map),
      primary_(primary),
      other_(other),
      hasher_(map, compared_columns(map)),
      at_once_(kFirstAtOnce) {}

void Suspects::tell(OnDifference on_difference, IsMeant is_meant) {
  on_difference_ = std::move(on_difference);
  is_meant_ = std::move(is_meant);
}

Chunk Suspects::follow(const Chunk& keys, int most_rounds) {
  std::vector<Look> open;
  for (std::uint32_t i = 0; i < keys.changes().size(); ++i) {
    Look look{};
    look.at = i;
    look.key = hasher_.key(keys.row(keys.changes()[i]), keys);
    open.push_back(look);
  }
  int pause = 5;
  for (int rounds = 0; !open.empty() && rounds < most_rounds; ++rounds) {
    if (rounds != 0) {
      // Not in step with anybody who changes a row at regular times.
      pace_.wait(milliseconds(std::uniform_int_distribution<int>(pause / 2, pause)(random_)));
      pause = std::min(pause * 2, kMostPauseMs);
    }
    round(keys, open);
  }
  Chunk moving;
  for (const Look& look : open) {
    const auto key = keys.row(keys.changes()[look.at]).first(map_.key_width);
    copy_key(map_.id, key, keys, moving);
  }
  return moving;
}

void Suspects::round(const Chunk& keys, std::vector<Look>& open) {
  std::vector<Look> again;
  for (std::size_t begin = 0; begin < open.size();) {
    const std::size_t count = std::min(at_once_, open.size() - begin);
    look_at(keys, std::span(open).subspan(begin, count), again);
    begin += count;
  }
  open = std::move(again);
}

void Suspects::look_at(const Chunk& keys, std::span<Look> part, std::vector<Look>& again) {
  pace_.wait(milliseconds(0));
  Chunk wanted, of_primary, of_other;
  for (const Look& look : part) {
    const auto key = keys.row(keys.changes()[look.at]).first(map_.key_width);
    copy_key(map_.id, key, keys, wanted);
  }
  const Window window = primary_.fetch(map_.id, wanted, of_primary);
  if (!sides_.carried(window.to, Deadline::in(kCarriedWithin))) {
    throw Error(ErrorKind::kBusy, Retry::kLater,
                "the other side did not come to where the primary had been in time",
                {.next = "`switchback status` says how far it is behind, and why"});
  }
  other_.fetch(map_.id, wanted, of_other);
  const Found at_primary = index_of(of_primary), at_other = index_of(of_other);
  const auto find = [](const Found& found, const Hash128& key) {
    const auto at = found.find(key.low);
    return at == found.end() ? nullptr : at->second;
  };
  for (Look& look : part) {
    const Change* primary = find(at_primary, look.key);
    const Change* other = find(at_other, look.key);
    const Verdict verdict =
        judge(look, hash_of_row(primary, of_primary), hash_of_row(other, of_other));
    if (verdict == Verdict::kEqual) continue;
    const SeenApart seen{keys.row(keys.changes()[look.at]).first(map_.key_width),
                         keys,
                         primary,
                         of_primary,
                         other,
                         of_other};
    if (is_meant_ && is_meant_(seen)) continue;
    if (verdict == Verdict::kAgain) {
      again.push_back(look);
    } else {
      on_difference_(seen);
    }
  }
  const std::size_t bytes = std::max(of_primary.bytes(), of_other.bytes());
  at_once_ = std::clamp<std::size_t>(kBytesAtOnce / std::max<std::size_t>(bytes / part.size(), 1),
                                     1, kMostAtOnce);
}

Suspects::Verdict Suspects::judge(Look& look, const Hash128& primary, const Hash128& other) const {
  if (primary == other) return Verdict::kEqual;
  if (leaves_what_moves_ && look.looked && look.primary != primary) return Verdict::kEqual;
  // What the other side had a moment ago is what the primary has come to: it follows.
  if (look.looked && look.other == primary && look.primary != primary) return Verdict::kEqual;
  const bool alike = look.looked && look.primary == primary && look.other == other;
  look.moved = look.moved || (look.looked && !alike);
  look.alike = alike ? look.alike + 1 : 0;
  look.looked = true;
  look.primary = primary;
  look.other = other;
  return look.alike >= (look.moved ? kAlikeAfterMoving : kAlikeAtRest) ? Verdict::kDiffers
                                                                       : Verdict::kAgain;
}

Suspects::Found Suspects::index_of(const Chunk& rows) {
  Found found;
  for (const Change& change : rows.changes()) {
    if (change.op == Op::kDelete) continue;
    found.emplace(hasher_.key(rows.row(change), rows).low, &change);
  }
  return found;
}

Hash128 Suspects::hash_of_row(const Change* change, const Chunk& rows) {
  return change == nullptr ? kAbsentHash : row_hash(*change, rows, hasher_);
}

}  // namespace switchback
