#include "bridge/status.h"

#include "state/base/json_text.h"

namespace switchback {
namespace {

double in_seconds(std::chrono::milliseconds span) {
  return static_cast<double>(span.count()) / 1000;
}

void write_group(JsonWriter& json, const GroupStatus& group) {
  json.begin_object().member("name", group.name).member("phase", to_string(group.phase));
  json.key("primary");
  if (group.primary) {
    json.value(to_string(*group.primary));
  } else {
    json.null();
  }
  json.member("epoch", group.epoch).key("lag");
  if (group.lag) {
    json.begin_object()
        .member("changes", group.lag->changes)
        .member("bytes", group.lag->bytes)
        .member("seconds", in_seconds(group.lag->age))
        .end_object();
  } else {
    json.null();
  }
  json.end_object();
}

void write_side(JsonWriter& json, const SideStatus& side) {
  json.begin_object()
      .member("side", to_string(side.side))
      .member("where", side.where)
      .member("up", side.up)
      .key("error");
  if (side.error.empty()) {
    json.null();
  } else {
    json.value(side.error);
  }
  json.member("retry_in_seconds", in_seconds(side.retry_in)).end_object();
}

void write_load(JsonWriter& json, const LoadStatus& load) {
  json.begin_object()
      .member("table", load.table)
      .member("rows", load.rows)
      .member("rows_total", load.rows_total)
      .member("rows_per_second", load.rows_per_second)
      .member("done", load.done)
      .end_object();
}

void write_unread(JsonWriter& json, const SourceTrouble& trouble) {
  json.begin_object()
      .member("what", trouble.what)
      .member("why", trouble.why)
      .member("held", trouble.held)
      .end_object();
}

void write_trail(JsonWriter& json, const TrailStatus& trail) {
  json.begin_object()
      .member("owed", trail.owed)
      .member("seconds", in_seconds(trail.age))
      .member("compared", trail.compared)
      .member("differing", trail.differing)
      .member("found", trail.found)
      .member("dropped", trail.dropped)
      .member("why_dropped", trail.why_dropped)
      .key("examples")
      .begin_array();
  for (const std::string& words : trail.examples) json.value(words);
  json.end_array().end_object();
}

}  // namespace

std::string to_json(const Status& status) {
  JsonWriter json;
  json.begin_object().member("bridge", status.bridge).member("running", status.running);
  json.key("groups").begin_array();
  for (const auto& group : status.groups) write_group(json, group);
  json.end_array().member("quarantined", status.quarantined).key("tables").begin_array();
  for (const auto& table : status.tables) {
    json.begin_object().member("name", table.name).member("rows", table.rows).end_object();
  }
  json.end_array().key("last_verify");
  if (status.last_verify) {
    write_verify(json, *status.last_verify);
  } else {
    json.null();
  }
  json.key("trailing");
  write_trail(json, status.trail);
  json.key("rates")
      .begin_object()
      .member("changes_per_second", status.changes_per_second)
      .member("changes", status.changes)
      .member("batches", status.batches)
      .end_object();
  json.key("capture")
      .begin_object()
      .member("prunes", status.counts.prunes)
      .member("unexplained", status.counts.unexplained)
      .end_object();
  json.key("sides").begin_array();
  for (const auto& side : status.sides) write_side(json, side);
  json.end_array().key("load").begin_array();
  for (const auto& load : status.load) write_load(json, load);
  json.end_array().key("unread").begin_array();
  for (const auto& trouble : status.unread) write_unread(json, trouble);
  json.end_array().key("needs_you").begin_array();
  for (const auto& need : status.needs_you) json.value(need);
  json.end_array().end_object();
  return json.take();
}

}  // namespace switchback
