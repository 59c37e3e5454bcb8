#include <simdjson.h>

#include "bridge/status.h"
#include "state/base/error.h"

namespace switchback {
namespace {

using Element = simdjson::dom::element;

[[noreturn]] void fail(std::string_view key) {
  throw Error(ErrorKind::kInternal, Retry::kNever,
              "the status of the sidecar cannot be read at \"" + std::string(key) + "\"",
              {.next = "use the same version of switchback as the running sidecar"});
}

Element member(const Element& object, std::string_view key) {
  Element out;
  if (object[key].get(out)) fail(key);
  return out;
}

template <typename Value>
Value get(const Element& object, std::string_view key) {
  Value out;
  if (member(object, key).get(out)) fail(key);
  return out;
}

std::string text(const Element& object, std::string_view key) {
  return std::string(get<std::string_view>(object, key));
}

std::chrono::milliseconds span(const Element& object, std::string_view key) {
  return std::chrono::milliseconds(
      static_cast<std::int64_t>(get<double>(object, key) * 1000 + 0.5));
}

Phase parse_phase(std::string_view word) {
  for (const Phase phase : {Phase::kIdle, Phase::kSnapshot, Phase::kForward, Phase::kFlipping,
                            Phase::kReverse, Phase::kComplete}) {
    if (to_string(phase) == word) return phase;
  }
  fail("phase");
}

Side need_side(std::string_view word, std::string_view key) {
  const auto side = parse_side(word);
  if (!side) fail(key);
  return *side;
}

GroupStatus parse_group(const Element& item) {
  GroupStatus group;
  group.name = text(item, "name");
  group.phase = parse_phase(get<std::string_view>(item, "phase"));
  if (!member(item, "primary").is_null()) {
    group.primary = need_side(get<std::string_view>(item, "primary"), "primary");
  }
  group.epoch = get<std::uint64_t>(item, "epoch");
  const Element lag = member(item, "lag");
  if (!lag.is_null()) {
    group.lag = Lag{get<std::uint64_t>(lag, "changes"), get<std::uint64_t>(lag, "bytes"),
                    span(lag, "seconds")};
  }
  return group;
}

SideStatus parse_side_status(const Element& item) {
  SideStatus side;
  side.side = need_side(get<std::string_view>(item, "side"), "side");
  side.where = text(item, "where");
  side.up = get<bool>(item, "up");
  if (!member(item, "error").is_null()) side.error = text(item, "error");
  side.retry_in = span(item, "retry_in_seconds");
  return side;
}

LoadStatus parse_load(const Element& item) {
  LoadStatus load;
  load.table = text(item, "table");
  load.rows = get<std::uint64_t>(item, "rows");
  load.rows_total = get<std::uint64_t>(item, "rows_total");
  load.rows_per_second = get<double>(item, "rows_per_second");
  load.done = get<bool>(item, "done");
  return load;
}

TrailStatus parse_trail(const Element& item) {
  TrailStatus trail;
  trail.owed = get<std::uint64_t>(item, "owed");
  trail.age = span(item, "seconds");
  trail.compared = get<std::uint64_t>(item, "compared");
  trail.differing = get<std::uint64_t>(item, "differing");
  trail.found = get<std::uint64_t>(item, "found");
  trail.dropped = get<std::uint64_t>(item, "dropped");
  trail.why_dropped = text(item, "why_dropped");
  for (const Element words : get<simdjson::dom::array>(item, "examples")) {
    std::string_view one;
    if (words.get(one)) fail("examples");
    trail.examples.emplace_back(one);
  }
  return trail;
}

}  // namespace

Status parse_status(std::string_view json) {
  simdjson::dom::parser parser;
  Element root;
  if (parser.parse(json.data(), json.size()).get(root)) fail("");
  Status status;
  status.bridge = text(root, "bridge");
  status.running = get<bool>(root, "running");
  status.quarantined = get<std::uint64_t>(root, "quarantined");
  const Element rates = member(root, "rates");
  status.changes_per_second = get<double>(rates, "changes_per_second");
  status.changes = get<std::uint64_t>(rates, "changes");
  status.batches = get<std::uint64_t>(rates, "batches");
  const Element capture = member(root, "capture");
  status.counts.prunes = get<std::uint64_t>(capture, "prunes");
  status.counts.unexplained = get<std::uint64_t>(capture, "unexplained");
  if (const Element last = member(root, "last_verify"); !last.is_null()) {
    status.last_verify = parse_verify(simdjson::minify(last));
    if (!status.last_verify) fail("last_verify");
  }
  status.trail = parse_trail(member(root, "trailing"));
  using Array = simdjson::dom::array;
  for (const Element item : get<Array>(root, "groups")) status.groups.push_back(parse_group(item));
  for (const Element item : get<Array>(root, "tables")) {
    status.tables.push_back({text(item, "name"), get<std::uint64_t>(item, "rows")});
  }
  for (const Element item : get<Array>(root, "sides")) {
    status.sides.push_back(parse_side_status(item));
  }
  for (const Element item : get<Array>(root, "load")) status.load.push_back(parse_load(item));
  for (const Element item : get<Array>(root, "unread")) {
    status.unread.push_back({text(item, "what"), text(item, "why"), get<bool>(item, "held")});
  }
  for (const Element item : get<Array>(root, "needs_you")) {
    std::string_view need;
    if (item.get(need)) fail("needs_you");
    status.needs_you.emplace_back(need);
  }
  return status;
}

}  // namespace switchback
