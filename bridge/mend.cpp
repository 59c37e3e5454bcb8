#include "bridge/mend.h"

#include <simdjson.h>

#include "state/base/error.h"
#include "state/base/json_text.h"

namespace switchback {

std::string to_json(const MendOrder& order) {
  JsonWriter json;
  json.begin_object().member("by", order.by);
  if (order.primary) json.member("primary", to_string(*order.primary));
  return json.end_object().take();
}

MendOrder parse_mend_order(std::string_view text) {
  MendOrder order;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view by, primary;
  const bool whole = !parser.parse(text.data(), text.size()).get(root) && !root["by"].get(by);
  if (whole) order.by = by;
  if (whole && !root["primary"].get(primary)) {
    order.primary = parse_side(primary);
    if (order.primary) return order;
  } else if (whole) {
    return order;
  }
  throw Error(ErrorKind::kUsage, Retry::kNever, "this is no order to mend",
              {.next = R"(send {"by":"NAME"}, with "primary":"old" or "postgres" if need be)"});
}

std::string to_json(const MendReport& report) {
  JsonWriter json;
  json.begin_object()
      .member("running", false)
      .member("primary", to_string(report.primary))
      .member("epoch", report.epoch)
      .member("rows_old", report.rows_old)
      .member("rows_postgres", report.rows_postgres)
      .member("applied", report.applied)
      .member("removed", report.removed)
      .member("refused", report.refused)
      .member("left", report.left)
      .member("kept", report.kept.string())
      .end_object();
  return json.take();
}

std::string to_json(const MendProgress& progress) {
  JsonWriter json;
  json.begin_object()
      .member("running", progress.running)
      .member("table", progress.compared.table)
      .member("step", progress.compared.step)
      .member("rows", progress.compared.rows)
      .end_object();
  return json.take();
}

std::optional<MendReport> parse_mend_answer(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  bool running = false;
  std::string_view primary, kept;
  MendReport report;
  if (!parser.parse(text.data(), text.size()).get(root) && !root["running"].get(running)) {
    if (running) return std::nullopt;
    const auto number = [&](const char* name, std::uint64_t& into) {
      return !root[name].get(into);
    };
    const bool whole =
        !root["primary"].get(primary) && parse_side(primary) && number("epoch", report.epoch) &&
        number("rows_old", report.rows_old) && number("rows_postgres", report.rows_postgres) &&
        number("applied", report.applied) && number("removed", report.removed) &&
        number("refused", report.refused) && number("left", report.left) && !root["kept"].get(kept);
    if (whole) {
      report.primary = *parse_side(primary);
      report.kept = kept;
      return report;
    }
  }
  throw Error(ErrorKind::kInternal, Retry::kNever, "the sidecar's answer cannot be read",
              {.next = "use the sidecar's version"});
}

}  // namespace switchback
