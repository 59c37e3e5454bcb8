#include <fmt/format.h>

#include <algorithm>

#include "bridge/status.h"

namespace switchback {
namespace {

std::string_view store_word(Side side) {
  return side == Side::kOld ? "the old store" : "PostgreSQL";
}

std::string where_writes_go(const GroupStatus& group) {
  if (group.primary) return fmt::format("{}", store_word(*group.primary));
  // Nobody could ask both sides yet, or one of them is down.
  return group.phase == Phase::kFlipping ? "nowhere: a flip is under way" : "not known";
}

std::string lag_words(const std::optional<Lag>& lag) {
  if (!lag) return "-";
  if (lag->changes == 0 && lag->bytes == 0) return "none";
  const double age = static_cast<double>(lag->age.count()) / 1000;
  if (lag->changes == 0) return fmt::format("{} bytes, {:.1f} s", lag->bytes, age);
  return fmt::format("{} changes, {:.1f} s", lag->changes, age);
}

std::string duration_words(double span_s) {
  if (span_s < 90) return fmt::format("{:.0f} s", span_s);
  return fmt::format("{:.0f} min", span_s / 60);
}

void write_sides(std::string& out, const Status& status) {
  for (const auto& side : status.sides) {
    out +=
        fmt::format("  {:<9}{:<5}{}\n", to_string(side.side), side.up ? "up" : "DOWN", side.where);
    if (side.error.empty()) continue;
    out += fmt::format("           {}", side.error);
    if (side.retry_in.count() > 0) {
      out +=
          fmt::format(" (next try in {:.1f} s)", static_cast<double>(side.retry_in.count()) / 1000);
    }
    out += '\n';
  }
}

void write_load(std::string& out, const Status& status) {
  constexpr int kBar = 24;
  for (const auto& load : status.load) {
    const double part =
        load.done
            ? 1.0
            : std::min(0.99, static_cast<double>(load.rows) /
                                 static_cast<double>(std::max<std::uint64_t>(load.rows_total, 1)));
    const auto filled = static_cast<std::size_t>(part * kBar);
    out += fmt::format("  {:<28} [{:<{}}] {:3.0f} %  {} rows", load.table, std::string(filled, '#'),
                       kBar, part * 100, load.rows);
    if (!load.done && load.rows_per_second > 0 && load.rows_total > load.rows) {
      out += fmt::format(
          ", {:.0f}/s, {} left", load.rows_per_second,
          duration_words(static_cast<double>(load.rows_total - load.rows) / load.rows_per_second));
    }
    out += '\n';
  }
}

std::string verify_words(const VerifyStatus& last) {
  std::string out =
      last.identical ? fmt::format("verified identical at {}", last.at)
                     : fmt::format("verified at {}: {} rows differ", last.at, last.rows_differing);
  if (last.identical && !last.clean) out += fmt::format("; not clean since: {}", last.why);
  return out + "\n";
}

}  // namespace

std::string to_text(const Status& status) {
  std::string out = fmt::format("bridge {} ({})\n", status.bridge,
                                status.running ? "a sidecar runs" : "no sidecar runs");
  write_sides(out, status);
  out += fmt::format("\n{:<12} {:<15} {:<10} {:>6}  {}\n", "group", "writes go to", "phase",
                     "epoch", "the other side is behind by");
  for (const auto& group : status.groups) {
    out += fmt::format("{:<12} {:<15} {:<10} {:>6}  {}\n", group.name, where_writes_go(group),
                       to_string(group.phase), group.epoch, lag_words(group.lag));
  }
  if (!status.load.empty()) out += "\ninitial load\n";
  write_load(out, status);
  if (status.running) {
    out += fmt::format("\n{:.0f} changes/s now, {} changes in {} batches since the start\n",
                       status.changes_per_second, status.changes, status.batches);
  }
  if (status.last_verify) out += verify_words(*status.last_verify);
  if (status.trail.owed > 0 || status.trail.differing > 0) {
    out += fmt::format("changed lately and not compared yet: {} rows; found different: {}\n",
                       status.trail.owed, status.trail.differing);
  }
  if (status.counts.unexplained > 0) {
    out += fmt::format("{} unexplained commits\n", status.counts.unexplained);
  }
  if (status.quarantined > 0) out += fmt::format("{} rows in quarantine\n", status.quarantined);
  out += status.needs_you.empty() ? "\nnothing needs you\n" : "\nneeds you:\n";
  for (const auto& need : status.needs_you) out += fmt::format("  - {}\n", need);
  return out;
}

}  // namespace switchback
