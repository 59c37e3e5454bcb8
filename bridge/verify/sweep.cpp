#include "bridge/verify/sweep.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <exception>
#include <set>
#include <thread>
#include <utility>

#include "bridge/verify/columns.h"
#include "bridge/verify/differences.h"
#include "bridge/verify/row_hash.h"
#include "state/base/error.h"
#include "state/base/utc_text.h"
#include "state/model/copy_change.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Rows of unequal buckets that are kept at once, of both sides together.
constexpr std::uint64_t kMostGathered = 200'000;
constexpr int kMostRounds = 60;
constexpr int kMostTries = 5;
constexpr milliseconds kBetweenTries{500};
constexpr std::size_t kReappliedAtOnce = 500;

std::string name_of(const TableMap& map) {
  return map.schema + "." + map.table;
}

/// The rows of some buckets of one side, by key.
struct Gathered {
  struct Row {
    Hash128 key, hash;
    std::uint32_t at;  // in `keys`
  };
  std::vector<Row> rows;
  Chunk keys;  // deletes; misfits of what could not be expressed

  void sort() {
    std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
      return std::tie(a.key, a.hash) < std::tie(b.key, b.hash);
    });
  }
};

/// Each key that is not there with the same hash on both sides, once.
template <class OnKey>
void each_apart(const Gathered& a, const Gathered& b, OnKey on_key) {
  std::size_t i = 0, j = 0;
  while (i < a.rows.size() || j < b.rows.size()) {
    const bool at_a = j == b.rows.size() || (i < a.rows.size() && a.rows[i].key <= b.rows[j].key);
    const Hash128 key = at_a ? a.rows[i].key : b.rows[j].key;
    const std::size_t first_a = i, first_b = j;
    while (i < a.rows.size() && a.rows[i].key == key) ++i;
    while (j < b.rows.size() && b.rows[j].key == key) ++j;
    const bool same = i - first_a == 1 && j - first_b == 1 &&
                      a.rows[first_a].hash == b.rows[first_b].hash &&
                      a.rows[first_a].hash != kMisfitHash;
    if (same) continue;
    if (first_a != i) {
      on_key(a, a.rows[first_a].at);
    } else {
      on_key(b, b.rows[first_b].at);
    }
  }
}

}  // namespace

Sweep::Sweep(VerifySides sides, Pace pace, Report tell, std::uint64_t most_listed)
    : sides_(std::move(sides)),
      pace_(std::move(pace)),
      tell_(std::move(tell)),
      most_listed_(most_listed) {}

void Sweep::open_readers() {
  if (!readers_[0]) readers_[0] = sides_.make_reader(Side::kOld);
  if (!readers_[1]) readers_[1] = sides_.make_reader(Side::kPostgres);
}

VerifyReport Sweep::run(const std::vector<TableId>& tables) {
  const auto begun = Clock::now();
  VerifyReport report;
  report.started = utc_text(std::chrono::system_clock::now());
  report.primary = sides_.primary;
  differing_.clear();
  listed_ = 0;
  progress_ = {};
  progress_.tables = tables.size();
  for (const TableId id : tables) {
    const TableMap& map = sides_.mapping->table(id);
    compare(report.tables.emplace_back(), map);
    ++progress_.tables_done;
  }
  report.finished = utc_text(std::chrono::system_clock::now());
  report.took = std::chrono::duration_cast<milliseconds>(Clock::now() - begun);
  return report;
}

// A reader may ask for another try: a schema that changed, a file that is being written.
void Sweep::compare(TableReport& report, const TableMap& map) {
  const std::uint64_t listed = listed_;
  for (int tries = 1;; ++tries) {
    report = {};
    report.name = name_of(map);
    report.one_sided = columns_not_compared(map);
    differing_.erase(map.id);
    listed_ = listed;
    try {
      open_readers();
      compare_once(report, map);
      mark_known(report, map.id);
      return;
    } catch (const Error& error) {
      if (pace_.stop().stop_requested() || error.kind() == ErrorKind::kUnreachable) throw;
      if (error.retry() == Retry::kLater && tries < kMostTries) {
        pace_.wait(kBetweenTries * tries);
        continue;
      }
      report.problem = error.what();
      return;
    }
  }
}

void Sweep::compare_once(TableReport& report, const TableMap& map) {
  Buckets of_old, of_postgres;
  read_both(map, "reading",
            [&](Side side, const Change& change, const Chunk& chunk, RowHasher& hasher) {
              (side == Side::kOld ? of_old : of_postgres)
                  .add(hasher.key(chunk.row(change), chunk), row_hash(change, chunk, hasher));
            });
  report.rows_old = of_old.rows();
  report.rows_postgres = of_postgres.rows();
  const auto unequal = Buckets::unequal(of_old, of_postgres);
  for (std::size_t next = 0; next < unequal.size();) {
    std::vector<bool> chosen(Buckets::kCount);
    std::uint64_t rows = 0;
    for (; next < unequal.size() && rows < kMostGathered; ++next) {
      chosen[unequal[next]] = true;
      rows += of_old.rows_in(unequal[next]) + of_postgres.rows_in(unequal[next]);
    }
    const Chunk suspects = gather(map, chosen, report);
    progress_.step = "comparing";
    tell_(progress_);
    const Chunk moving =
        follow(map, suspects, [&](const SeenApart& seen) { note(map, seen, report); });
    report.unsettled += moving.changes().size();
  }
}

void Sweep::read_both(const TableMap& map, const char* step, const Take& take) {
  progress_.table = name_of(map);
  progress_.step = step;
  progress_.rows = 0;
  progress_.rows_total = reader(Side::kPostgres).estimate(map.id);
  tell_(progress_);
  std::atomic<bool> ended = false;
  std::exception_ptr thrown;
  {
    const std::jthread other([&] {
      ::pthread_setname_np(::pthread_self(), "verify old");
      try {
        read_side(Side::kOld, map, step, take, ended);
      } catch (...) {
        thrown = std::current_exception();
        ended = true;
      }
    });
    try {
      read_side(Side::kPostgres, map, step, take, ended);
    } catch (...) {
      ended = true;
      throw;
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

void Sweep::read_side(Side side, const TableMap& map, const char* /*step*/, const Take& take,
                      const std::atomic<bool>& ended) {
  RowHasher hasher(map, compared_columns(map));
  ScanCursor cursor;
  Chunk chunk;
  std::uint64_t rows = 0;
  const auto begun = Clock::now();
  while (!cursor.done && !ended) {
    chunk.clear();
    reader(side).scan(map.id, cursor, chunk);
    for (const Change& change : chunk.changes()) take(side, change, chunk, hasher);
    rows += chunk.changes().size();
    if (side == Side::kPostgres) {
      progress_.rows = rows;
      tell_(progress_);
    }
    pace_.keep(begun, rows);
  }
}

/// Keys of rows in the chosen buckets that are not the same on both sides.
Chunk Sweep::gather(const TableMap& map, const std::vector<bool>& buckets, TableReport& report) {
  Gathered sides[2];
  read_both(map, "looking closer",
            [&](Side side, const Change& change, const Chunk& chunk, RowHasher& hasher) {
              const Hash128 key = hasher.key(chunk.row(change), chunk);
              if (!buckets[Buckets::of(key)]) return;
              Gathered& of = sides[side == Side::kOld ? 0 : 1];
              of.rows.push_back({key, row_hash(change, chunk, hasher),
                                 static_cast<std::uint32_t>(of.keys.changes().size())});
              for (const Cell& cell : chunk.row(change).first(map.key_width)) {
                of.keys.add(copy_cell(cell, chunk, of.keys));
              }
              if (change.op == Op::kMisfit) {
                of.keys.end_misfit(map.id, chunk.text(change.reason));
              } else {
                of.keys.end_delete(map.id);
              }
            });
  for (Gathered& side : sides) side.sort();
  Chunk suspects;
  each_apart(sides[0], sides[1], [&](const Gathered& side, std::uint32_t at) {
    const Change& change = side.keys.changes()[at];
    const auto key = side.keys.row(change);
    if (can_be_fetched(map, key, side.keys)) {
      copy_key(map.id, key.first(map.key_width), side.keys, suspects);
      return;
    }
    const bool in_old = &side == &sides[0];
    const bool at_primary = in_old == (sides_.primary == Side::kOld);
    note(map,
         {key.first(map.key_width), side.keys, at_primary ? &change : nullptr, side.keys,
          at_primary ? nullptr : &change, side.keys},
         report);
  });
  return suspects;
}

Chunk Sweep::follow(const TableMap& map, const Chunk& keys, const Suspects::OnDifference& differs) {
  Suspects suspects(sides_, pace_, map, reader(sides_.primary), reader(other(sides_.primary)));
  suspects.tell(differs, [&](const SeenApart& seen) {
    return is_meant(sides_, map, seen, reader(Side::kPostgres));
  });
  return suspects.follow(keys, kMostRounds);
}

void Sweep::note(const TableMap& map, const SeenApart& seen, TableReport& report) {
  if (listed_ >= most_listed_) {
    ++report.more;
    return;
  }
  ++listed_;
  if (can_be_fetched(map, seen.key, seen.keys)) {
    Keys& keys = differing_[map.id];
    copy_key(map.id, seen.key.first(map.key_width), seen.keys,
             seen.primary == nullptr ? keys.surplus : keys.others);
  }
  for (Difference& difference : differences_of(sides_, map, seen)) {
    report.differences.push_back(std::move(difference));
  }
}

/// What is in quarantine is somebody's already.
void Sweep::mark_known(TableReport& report, TableId table) {
  if (report.differences.empty() || !sides_.quarantine) return;
  std::map<std::string, QuarantineEntry> entries;
  for (auto& entry : sides_.quarantine()) {
    if (entry.table == table) entries.emplace(entry.key, entry);
  }
  for (Difference& difference : report.differences) {
    const auto at = entries.find(difference.key);
    if (at == entries.end()) {
      difference.known = Known::kNot;  // or no longer
      continue;
    }
    difference.known = at->second.accepted ? Known::kAccepted : Known::kQuarantined;
    difference.cause = fmt::format("{}: {}", at->second.accepted ? "accepted" : "in quarantine",
                                   at->second.reason);
  }
}

void Sweep::repair(VerifyReport& report, const Reapply& reapply) {
  auto order = sides_.mapping->parents_first();
  std::reverse(order.begin(), order.end());
  reapply_all(&Keys::surplus, order, reapply);
  std::reverse(order.begin(), order.end());
  reapply_all(&Keys::others, order, reapply);
  for (TableReport& table : report.tables) {
    for (const auto& [id, keys] : differing_) {
      if (name_of(sides_.mapping->table(id)) == table.name) look_again(table, id);
    }
  }
  report.finished = utc_text(std::chrono::system_clock::now());
}

void Sweep::reapply_all(Chunk Keys::*part, std::vector<TableId> order, const Reapply& reapply) {
  for (const TableId id : order) {
    const auto at = differing_.find(id);
    if (at == differing_.end()) continue;
    const TableMap& map = sides_.mapping->table(id);
    const Chunk& keys = at->second.*part;
    Chunk some;
    for (const Change& change : keys.changes()) {
      copy_key(map.id, keys.row(change).first(map.key_width), keys, some);
      if (some.changes().size() < kReappliedAtOnce) continue;
      reapply(some);
      some.clear();
    }
    if (!some.empty()) reapply(some);
  }
}

void Sweep::look_again(TableReport& report, TableId id) {
  const TableMap& map = sides_.mapping->table(id);
  std::set<std::string> unequal, repaired;
  const auto differs = [&](const SeenApart& seen) {
    unequal.insert(key_text(seen.keys, seen.key));
  };
  Keys& keys = differing_.at(id);
  for (Chunk* part : {&keys.surplus, &keys.others}) {
    const Chunk moving = follow(map, *part, differs);
    Chunk still;
    for (const Change& change : moving.changes()) {
      unequal.insert(key_text(moving, moving.row(change)));
    }
    for (const Change& change : part->changes()) {
      const std::string key = key_text(*part, part->row(change));
      if (unequal.contains(key)) {
        copy_key(map.id, part->row(change).first(map.key_width), *part, still);
      } else {
        repaired.insert(key);
      }
    }
    *part = std::move(still);
  }
  for (Difference& difference : report.differences) {
    difference.repaired = difference.repaired || repaired.contains(difference.key);
  }
  mark_known(report, id);
}

}  // namespace switchback
