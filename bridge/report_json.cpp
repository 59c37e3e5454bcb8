#include "bridge/report_json.h"

#include <simdjson.h>

#include <chrono>

#include "state/base/error.h"

namespace switchback {
namespace {

using Element = simdjson::dom::element;

[[noreturn]] void fail(std::string_view key) {
  throw Error(ErrorKind::kInternal, Retry::kNever,
              "the sidecar's answer cannot be read at \"" + std::string(key) + "\"",
              {.next = "`switchback status` says where writes go; use the sidecar's version"});
}

template <typename Value>
Value get(const Element& object, std::string_view key) {
  Value out;
  if (object[key].get(out)) fail(key);
  return out;
}

std::string text(const Element& object, std::string_view key) {
  return std::string(get<std::string_view>(object, key));
}

bool has(const Element& object, std::string_view key) {
  Element found;
  return object[key].get(found) == simdjson::SUCCESS;
}

}  // namespace

void write_outcome(JsonWriter& json, const FlipOutcome& outcome) {
  json.member("flipped", outcome.flipped)
      .member("primary", to_string(outcome.primary))
      .member("epoch", outcome.epoch)
      .member("pause_ms", in_ms(outcome.pause))
      .member("drain_ms", in_ms(outcome.drain))
      .member("tries", outcome.tries)
      .key("obstacles")
      .begin_array();
  for (const auto& obstacle : outcome.obstacles) {
    json.begin_object().member("what", obstacle.what).member("cure", obstacle.cure).end_object();
  }
  json.end_array();
  if (outcome.drilled) json.member("drill", true);
  json.key("predicted")
      .begin_object()
      .member("pause_ms", in_ms(outcome.predicted.parts.total()))
      .member("by_measured", outcome.predicted.measured);
  write_parts(json, outcome.predicted.parts);
  json.end_object();
  if (outcome.flipped || outcome.drilled) {
    json.key("measured").begin_object().member("pause_ms", in_ms(outcome.pause));
    write_parts(json, outcome.parts);
    json.end_object();
  }
  json.key("gates");
  write_checks(json, outcome.checks);
}

std::string flip_json(const FlipOutcome& outcome) {
  JsonWriter json;
  json.begin_object();
  write_outcome(json, outcome);
  json.end_object();
  return json.take();
}

std::string report_json(const FlipReport& report) {
  JsonWriter json;
  json.begin_object();
  write_outcome(json, report.outcome);
  json.key("certificate");
  if (report.certificate.empty()) {
    json.null();
  } else {
    json.value(report.certificate.string());
  }
  json.end_object();
  return json.take();
}

FlipAnswer parse_report(std::string_view json) {
  simdjson::dom::parser parser;
  Element root;
  if (parser.parse(json.data(), json.size()).get(root)) fail("");
  FlipAnswer answer;
  answer.flipped = get<bool>(root, "flipped");
  answer.primary = text(root, "primary");
  answer.epoch = get<std::uint64_t>(root, "epoch");
  answer.pause_ms = get<double>(root, "pause_ms");
  if (answer.flipped) answer.certificate = text(root, "certificate");
  answer.drilled = has(root, "drill");
  const auto predicted = get<Element>(root, "predicted");
  answer.predicted_ms = get<double>(predicted, "pause_ms");
  answer.predicted_change_over_ms = get<double>(predicted, "change_over_ms");
  for (const Element item : get<simdjson::dom::array>(root, "gates")) {
    answer.checks.push_back(
        {text(item, "side"),
         {text(item, "name"), text(item, "value"), text(item, "limit"), get<bool>(item, "ok"),
          text(item, "cure"), get<bool>(item, "best_effort")}});
  }
  for (const Element item : get<simdjson::dom::array>(root, "obstacles")) {
    answer.obstacles.push_back({text(item, "what"), text(item, "cure")});
  }
  return answer;
}

}  // namespace switchback
