#include "bridge/pause.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>

#include "state/base/durable_file.h"

namespace switchback {
namespace {

using std::chrono::microseconds;

constexpr std::size_t kKept = 5;
// A single flip that met something rare must not forbid the next one.
constexpr std::size_t kEnoughToRefuse = 3;

microseconds median(const std::vector<PauseMeasured>& earlier, microseconds PauseParts::*part,
                    microseconds otherwise) {
  std::vector<microseconds> spans;
  for (const PauseMeasured& one : earlier) {
    if (one.drill && part == &PauseParts::change_over) continue;
    spans.push_back(one.parts.*part);
  }
  if (spans.empty()) return otherwise;
  const auto middle = spans.begin() + static_cast<std::ptrdiff_t>(spans.size() / 2);
  std::nth_element(spans.begin(), middle, spans.end());
  return *middle;
}

std::optional<PauseMeasured> parse_one(const simdjson::dom::element& object) {
  PauseMeasured one;
  const auto span = [&](const char* name, microseconds& into) {
    double ms = 0;
    if (object[name].get(ms)) return false;
    into = microseconds(static_cast<microseconds::rep>(ms * 1000));
    return true;
  };
  const bool all = !object["drill"].get(one.drill) && span("lock_ms", one.parts.lock) &&
                   span("drain_ms", one.parts.drain) && span("compare_ms", one.parts.compare) &&
                   span("change_over_ms", one.parts.change_over);
  return all ? std::optional(one) : std::nullopt;
}

}  // namespace

double in_ms(microseconds span) {
  return static_cast<double>(span.count()) / 1000.0;
}

bool PausePredicted::in_time(std::chrono::milliseconds max_pause) const {
  return (measured < kEnoughToRefuse ? parts.drain : parts.total()) <= max_pause;
}

PausePredicted predict_pause(const PauseGrounds& grounds) {
  PausePredicted predicted;
  predicted.measured = grounds.earlier.size();
  PauseParts& parts = predicted.parts;
  parts.lock = median(grounds.earlier, &PauseParts::lock, grounds.look_from);
  parts.drain = std::max(median(grounds.earlier, &PauseParts::drain, microseconds(0)),
                         grounds.speed.per_batch) +
                grounds.speed.needed(grounds.backlog);
  parts.compare = median(grounds.earlier, &PauseParts::compare, microseconds(0));
  parts.change_over = median(grounds.earlier, &PauseParts::change_over, grounds.look_to);
  return predicted;
}

void write_parts(JsonWriter& json, const PauseParts& parts) {
  json.member("lock_ms", in_ms(parts.lock))
      .member("drain_ms", in_ms(parts.drain))
      .member("compare_ms", in_ms(parts.compare))
      .member("change_over_ms", in_ms(parts.change_over));
}

std::vector<PauseMeasured> PauseBook::read(Side to) const {
  const std::string text = read_file(file_);
  simdjson::dom::parser parser;
  simdjson::dom::array entries;
  if (text.empty() || parser.parse(text)[to_string(to)].get(entries)) return {};
  std::vector<PauseMeasured> found;
  for (const simdjson::dom::element entry : entries) {
    if (const auto one = parse_one(entry)) found.push_back(*one);
  }
  return found;
}

void PauseBook::add(Side to, const PauseMeasured& measured) const {
  JsonWriter json;
  json.begin_object();
  for (const Side side : {Side::kOld, Side::kPostgres}) {
    auto entries = read(side);
    if (side == to) entries.push_back(measured);
    json.key(to_string(side)).begin_array();
    for (std::size_t i = entries.size() - std::min(entries.size(), kKept); i < entries.size();
         ++i) {
      json.begin_object().member("drill", entries[i].drill);
      write_parts(json, entries[i].parts);
      json.end_object();
    }
    json.end_array();
  }
  json.end_object();
  replace_file(file_, json.take() + "\n", 0600);
}

}  // namespace switchback
