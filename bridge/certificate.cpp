#include "bridge/certificate.h"

#include <fmt/format.h>

#include <chrono>

#include "bridge/report_json.h"
#include "state/base/durable_file.h"
#include "state/base/utc_text.h"

namespace switchback {

std::filesystem::path write_certificate(const StateDir& state, const Site& site,
                                        const FlipRequest& request, const FlipOutcome& outcome,
                                        const std::string& by) {
  JsonWriter json;
  json.begin_object();
  write_outcome(json, outcome);
  json.member("bridge", site.config.bridge)
      .member("group", request.group)
      .member("at", utc_text(std::chrono::system_clock::now()))
      .member("by", by)
      .member("max_pause_ms", request.max_pause.count())
      .member("drained_to", to_string(outcome.mark))
      // Said plainly until a full comparison exists: the drain is proven, equality is not.
      .member("compared_under_lock", false)
      .end_object();
  const auto folder = state.file("certificates");
  make_folder(folder, 0700);
  const auto path = folder / fmt::format("{:06}-{}.json", outcome.epoch,
                                         request.to == Side::kPostgres ? "cutover" : "rollback");
  replace_file(path, json.take() + "\n", 0600);
  return path;
}

}  // namespace switchback
