#include "bridge/last_verify.h"

#include <simdjson.h>

#include "state/base/durable_file.h"

namespace switchback {

void write_verify(JsonWriter& json, const VerifyStatus& last) {
  json.begin_object()
      .member("at", last.at)
      .member("since", last.since)
      .member("identical", last.identical)
      .member("rows_differing", last.rows_differing)
      .member("clean", last.clean)
      .member("why", last.why)
      .end_object();
}

std::optional<VerifyStatus> parse_verify(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(json.data(), json.size()).get(root)) return std::nullopt;
  VerifyStatus last;
  std::string_view at, since, why;
  if (root["at"].get(at) || root["since"].get(since) || root["identical"].get(last.identical) ||
      root["rows_differing"].get(last.rows_differing) || root["clean"].get(last.clean) ||
      root["why"].get(why)) {
    return std::nullopt;
  }
  last.at = at;
  last.since = since;
  last.why = why;
  return last;
}

std::optional<VerifyStatus> read_last_verify(const std::filesystem::path& file) {
  return parse_verify(read_file(file));
}

void write_last_verify(const std::filesystem::path& file, const VerifyStatus& last) {
  JsonWriter json;
  write_verify(json, last);
  replace_file(file, json.take() + "\n", 0600);
}

}  // namespace switchback
