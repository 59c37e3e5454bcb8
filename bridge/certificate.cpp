#include "bridge/certificate.h"

#include <fmt/format.h>

#include <chrono>

#include "bridge/report_json.h"
#include "state/base/durable_file.h"
#include "state/base/utc_text.h"
#include "state/ledger/audit.h"

namespace switchback {
namespace {

/// What both forms say.
struct Certificate {
  const Site& site;
  const FlipRequest& request;
  const FlipReport& report;
  const std::string& by;
  std::string at;

  const FlipOutcome& outcome() const { return report.outcome; }
  std::string_view command() const { return command_for(request.to); }
  Side from() const { return other(request.to); }
};

std::string as_json(const Certificate& that) {
  const FlipOutcome& outcome = that.outcome();
  JsonWriter json;
  json.begin_object();
  write_outcome(json, outcome);
  json.member("bridge", that.site.config.bridge)
      .member("group", that.request.group)
      .member("flip", that.command())
      .member("at", that.at)
      .member("by", that.by)
      .member("max_pause_ms", that.request.max_pause.count())
      .key("positions")
      .begin_object()
      .member(to_string(that.from()), to_string(outcome.mark))
      .member(to_string(that.request.to), to_string(outcome.followed))
      .end_object()
      .member("drained_to", to_string(outcome.mark))
      .key("full_sweep");
  if (that.report.sweep) {
    write_verify(json, *that.report.sweep);
  } else {
    json.null();
  }
  json.member("compared_under_lock", outcome.compared.outcome == LockCompare::Outcome::kSame)
      .member("rows_compared_under_lock", outcome.compared.rows)
      .member("compare_ms", in_ms(outcome.compared.took))
      .key("best_effort")
      .begin_array();
  for (const FlipCheck& one : outcome.checks) {
    if (one.check.best_effort) json.value(one.check.name + ": " + one.check.value);
  }
  json.end_array().end_object();
  return json.take() + "\n";
}

std::string sweep_words(const std::optional<VerifyStatus>& sweep) {
  if (!sweep) return "none";
  std::string words =
      fmt::format("{}, from {} to {}", sweep->identical ? "identical" : "NOT identical",
                  sweep->since, sweep->at);
  if (!sweep->why.empty()) words += "; since then: " + sweep->why;
  return words;
}

// Said plainly: where nothing was compared the drain is proven, equality at this moment is not.
std::string compared_words(const LockCompare& compared) {
  if (compared.outcome != LockCompare::Outcome::kSame) return "nothing";
  return fmt::format("{} rows that were changed last: the same on both sides ({:.1f} ms)",
                     compared.rows, in_ms(compared.took));
}

std::string parts_words(const PauseParts& parts) {
  return fmt::format("{:.1f} ms (lock {:.1f}, drain {:.1f}, compare {:.1f}, change over {:.1f})",
                     in_ms(parts.total()), in_ms(parts.lock), in_ms(parts.drain),
                     in_ms(parts.compare), in_ms(parts.change_over));
}

std::string as_page(const Certificate& that) {
  const FlipOutcome& outcome = that.outcome();
  std::string out =
      fmt::format("Certificate of a {}: bridge {}, group {}, epoch {}\n\n", that.command(),
                  that.site.config.bridge, that.request.group, outcome.epoch);
  const auto line = [&](std::string_view name, std::string_view value) {
    out += fmt::format("{:<22}{}\n", name, value);
  };
  line("writes go to", to_string(outcome.primary));
  line("when", that.at);
  line("asked for by", that.by);
  line("pause", fmt::format("{:.1f} ms of at most {}, in try {}", in_ms(outcome.pause),
                            that.request.max_pause.count(), outcome.tries));
  line("  measured", parts_words(outcome.parts));
  line("  predicted", parts_words(outcome.predicted.parts));
  line("position of " + std::string(to_string(that.from())),
       to_string(outcome.mark) + "  (everything it ever accepted)");
  line("position of " + std::string(to_string(that.request.to)),
       to_string(outcome.followed) + "  (applied and durable there)");
  line("proof of the drain",
       fmt::format("the marker {}, made under the lock, was seen applied after {:.1f} ms",
                   to_string(outcome.mark), in_ms(outcome.drain)));
  line("full comparison", sweep_words(that.report.sweep));
  line("compared under lock", compared_words(outcome.compared));
  bool all_proven = true;
  for (const FlipCheck& one : outcome.checks) {
    if (!one.check.best_effort) continue;
    line(all_proven ? "best effort" : "", one.check.name + ": " + one.check.value);
    all_proven = false;
  }
  if (all_proven) line("best effort", "nothing");
  return out + "\nThe gates before it:\n" + to_text(outcome.checks);
}

}  // namespace

std::filesystem::path page_of(std::filesystem::path certificate) {
  return certificate.replace_extension(".txt");
}

std::filesystem::path write_certificate(const StateDir& state, const Site& site,
                                        const FlipRequest& request, const FlipReport& report,
                                        const std::string& by) {
  const Certificate that{site, request, report, by, utc_text(std::chrono::system_clock::now())};
  const auto folder = state.file(kCertificates);
  make_folder(folder, 0700);
  const auto path = folder / fmt::format("{:06}-{}.json", report.outcome.epoch, that.command());
  replace_file(page_of(path), as_page(that), 0600);
  replace_file(path, as_json(that), 0600);
  return path;
}

}  // namespace switchback
