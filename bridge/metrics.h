// The figures of a bridge in Prometheus' text form. The sidecar counts events; gauges are set
// from a Status right before each scrape. Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "bridge/status.h"

namespace switchback {

/// Which way a pump flows, as the label `direction` says it.
enum class Direction { kForward, kReverse };
std::string_view to_string(Direction direction) noexcept;

class Metrics {
 public:
  explicit Metrics(const std::string& bridge);
  ~Metrics();

  /// Raises the counters to a pump's totals since it was made; a lower total (a new pump) counts
  /// from zero again.
  void note_progress(Direction direction, std::uint64_t changes, std::uint64_t batches);
  /// The same for what a pump's source counts.
  void note_counts(const SourceCounts& counts);
  void note_flip(Side to, std::chrono::microseconds pause);
  /// Sets every gauge. `flowing`: changes go from the primary to the other side.
  void set(const Status& status, bool flowing);

  /// https://prometheus.io/docs/instrumenting/exposition_formats/
  std::string text() const;

 private:
  void note_trail(const TrailStatus& trail);
  void set_lag(const GroupStatus& group);

  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace switchback
