#include "bridge/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <limits>
#include <mutex>

namespace switchback {
namespace {

using prometheus::Family;
using prometheus::Gauge;
using prometheus::Labels;
// `Counter` alone is a sequence, or an AUTOINCREMENT.
using CounterFamily = Family<prometheus::Counter>;

constexpr std::array kDirections = {Direction::kForward, Direction::kReverse};
constexpr std::array kSides = {Side::kOld, Side::kPostgres};

std::string word(auto that) {
  return std::string(to_string(that));
}

}  // namespace

std::string_view to_string(Direction direction) noexcept {
  switch (direction) {
    case Direction::kForward:
      return "forward";
    case Direction::kReverse:
      return "reverse";
  }
  return "unknown";
}

struct Metrics::Parts {
  explicit Parts(const std::string& bridge) : common{{"bridge", bridge}} {
    // Series that exist from the start, so that an alert on a rate sees the first event.
    for (const auto direction : kDirections) {
      changes.Add({{"direction", word(direction)}});
      batches.Add({{"direction", word(direction)}});
    }
    prunes.Add({});
    unexplained.Add({});
    found.Add({});
    dropped.Add({});
    for (const auto side : kSides) {
      flips.Add({{"to", word(side)}});
      pauses.Add({{"to", word(side)}}, bounds());
    }
  }

  static prometheus::Histogram::BucketBoundaries bounds() {
    return {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5};
  }
  Family<Gauge>& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Labels(common).Register(registry);
  }
  CounterFamily& counter(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Labels(common).Register(registry);
  }

  struct Totals {
    std::uint64_t changes = 0, batches = 0;
  };

  prometheus::Registry registry;
  Labels common;
  Family<Gauge>& flowing =
      gauge("switchback_flowing", "1 while changes go from the primary to the other side, else 0.");
  Family<Gauge>& lag_changes =
      gauge("switchback_lag_changes", "Changes not yet applied; NaN while not known.");
  Family<Gauge>& lag_bytes =
      gauge("switchback_lag_bytes", "Bytes not yet applied; NaN while not known.");
  Family<Gauge>& lag_seconds = gauge(
      "switchback_lag_seconds", "Age of the oldest change not yet applied; NaN while not known.");
  Family<Gauge>& epoch = gauge("switchback_epoch", "Number of the last flip of a group.");
  Family<Gauge>& primary =
      gauge("switchback_primary", "1 for the side that a group's writes go to, else 0.");
  Family<Gauge>& up = gauge("switchback_up", "1 if the side can be reached, else 0.");
  Family<Gauge>& quarantined =
      gauge("switchback_quarantined", "Rows that the other side could not take.");
  Family<Gauge>& unread =
      gauge("switchback_unread", "Files of the primary that cannot be carried over as they stand.");
  Family<Gauge>& verified = gauge("switchback_verify_identical",
                                  "1 if the last full comparison found no difference, else 0.");
  Family<Gauge>& clean = gauge("switchback_verify_clean",
                               "1 if it did and nothing has happened since that it could not see.");
  Family<Gauge>& differing =
      gauge("switchback_verify_rows_differing", "Rows that differed in the last full comparison.");
  Family<Gauge>& owed =
      gauge("switchback_verify_owed", "Changes applied and not compared on both sides yet.");
  Family<Gauge>& trailing = gauge("switchback_verify_trailing_rows_differing",
                                  "Rows that differed shortly after they were changed.");
  CounterFamily& found = counter("switchback_verify_differences_total",
                                 "Differences found shortly after a row was changed.");
  CounterFamily& dropped = counter("switchback_verify_dropped_total",
                                   "How often changes were too many to be compared in time.");
  CounterFamily& changes = counter("switchback_applied_changes_total", "Changes applied.");
  CounterFamily& batches = counter("switchback_batches_total", "Batches committed.");
  CounterFamily& flips = counter("switchback_flips_total", "Flips done.");
  CounterFamily& prunes = counter("switchback_log_prunes_total",
                                  "Deletions of old log entries in the old store, each a write.");
  CounterFamily& unexplained =
      counter("switchback_unexplained_commits_total", "Commits in which capture saw nothing.");
  Family<prometheus::Histogram>& pauses = prometheus::BuildHistogram()
                                              .Name("switchback_flip_pause_seconds")
                                              .Help("How long writers waited in a flip.")
                                              .Labels(common)
                                              .Register(registry);
  std::mutex mutex;
  std::array<Totals, 2> seen;  // by direction; guarded by mutex
  SourceCounts seen_counts;    // guarded by mutex
  TrailStatus seen_trail;      // guarded by mutex
};

Metrics::Metrics(const std::string& bridge) : parts_(std::make_unique<Parts>(bridge)) {}
Metrics::~Metrics() = default;

void Metrics::note_progress(Direction direction, std::uint64_t changes, std::uint64_t batches) {
  const std::lock_guard lock(parts_->mutex);
  Parts::Totals& seen = parts_->seen[static_cast<std::size_t>(direction)];
  if (changes < seen.changes || batches < seen.batches) seen = {};
  const Labels labels{{"direction", word(direction)}};
  parts_->changes.Add(labels).Increment(static_cast<double>(changes - seen.changes));
  parts_->batches.Add(labels).Increment(static_cast<double>(batches - seen.batches));
  seen = {changes, batches};
}

void Metrics::note_counts(const SourceCounts& counts) {
  const std::lock_guard lock(parts_->mutex);
  SourceCounts& seen = parts_->seen_counts;
  if (counts.prunes < seen.prunes || counts.unexplained < seen.unexplained) seen = {};
  parts_->prunes.Add({}).Increment(static_cast<double>(counts.prunes - seen.prunes));
  parts_->unexplained.Add({}).Increment(static_cast<double>(counts.unexplained - seen.unexplained));
  seen = counts;
}

void Metrics::note_trail(const TrailStatus& trail) {
  const std::lock_guard lock(parts_->mutex);
  const TrailStatus& seen = parts_->seen_trail;
  parts_->found.Add({}).Increment(static_cast<double>(trail.found - seen.found));
  parts_->dropped.Add({}).Increment(static_cast<double>(trail.dropped - seen.dropped));
  parts_->seen_trail = trail;
}

void Metrics::note_flip(Side to, std::chrono::microseconds pause) {
  const Labels labels{{"to", word(to)}};
  parts_->flips.Add(labels).Increment();
  parts_->pauses.Add(labels, Parts::bounds()).Observe(static_cast<double>(pause.count()) / 1e6);
}

void Metrics::set_lag(const GroupStatus& group) {
  const Labels labels{{"group", group.name}};
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  const auto& lag = group.lag;
  parts_->lag_changes.Add(labels).Set(lag ? static_cast<double>(lag->changes) : kUnknown);
  parts_->lag_bytes.Add(labels).Set(lag ? static_cast<double>(lag->bytes) : kUnknown);
  parts_->lag_seconds.Add(labels).Set(lag ? static_cast<double>(lag->age.count()) / 1000
                                          : kUnknown);
}

void Metrics::set(const Status& status, bool flowing) {
  parts_->flowing.Add({}).Set(flowing ? 1 : 0);
  for (const auto& group : status.groups) {
    const Labels labels{{"group", group.name}};
    set_lag(group);
    parts_->epoch.Add(labels).Set(static_cast<double>(group.epoch));
    for (const auto side : kSides) {
      parts_->primary.Add({{"group", group.name}, {"side", word(side)}})
          .Set(group.primary == side ? 1 : 0);
    }
  }
  for (const auto& side : status.sides) {
    parts_->up.Add({{"side", word(side.side)}}).Set(side.up ? 1 : 0);
  }
  parts_->quarantined.Add({}).Set(static_cast<double>(status.quarantined));
  parts_->unread.Add({}).Set(static_cast<double>(status.unread.size()));
  parts_->owed.Add({}).Set(static_cast<double>(status.trail.owed));
  parts_->trailing.Add({}).Set(static_cast<double>(status.trail.differing));
  note_trail(status.trail);
  if (!status.last_verify) return;
  parts_->verified.Add({}).Set(status.last_verify->identical ? 1 : 0);
  parts_->clean.Add({}).Set(status.last_verify->clean ? 1 : 0);
  parts_->differing.Add({}).Set(static_cast<double>(status.last_verify->rows_differing));
}

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(parts_->registry.Collect());
}

}  // namespace switchback
