#include "bridge/certificate.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "state/base/durable_file.h"

namespace switchback {
namespace {

using Json = nlohmann::ordered_json;

double in_ms(std::chrono::microseconds span) {
  return static_cast<double>(span.count()) / 1000.0;
}

Json as_json(const FlipOutcome& outcome) {
  Json json = {{"flipped", outcome.flipped},       {"primary", to_string(outcome.primary)},
               {"epoch", outcome.epoch},           {"pause_ms", in_ms(outcome.pause)},
               {"drain_ms", in_ms(outcome.drain)}, {"tries", outcome.tries},
               {"obstacles", Json::array()}};
  for (const auto& obstacle : outcome.obstacles) {
    json["obstacles"].push_back({{"what", obstacle.what}, {"cure", obstacle.cure}});
  }
  return json;
}

}  // namespace

std::string flip_json(const FlipOutcome& outcome) {
  return as_json(outcome).dump();
}

std::filesystem::path write_certificate(const StateDir& state, const Site& site,
                                        const FlipRequest& request, const FlipOutcome& outcome,
                                        const std::string& by) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  Json json = as_json(outcome);
  json["bridge"] = site.config.bridge;
  json["group"] = request.group;
  json["at"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
  json["by"] = by;
  json["max_pause_ms"] = request.max_pause.count();
  json["drained_to"] = to_string(outcome.mark);
  // Said plainly until a full comparison exists: the drain is proven, equality is not.
  json["compared_under_lock"] = false;
  const auto folder = state.file("certificates");
  make_folder(folder, 0700);
  const auto path = folder / fmt::format("{:06}-{}.json", outcome.epoch,
                                         request.to == Side::kPostgres ? "cutover" : "rollback");
  replace_file(path, json.dump(2) + "\n", 0600);
  return path;
}

}  // namespace switchback
