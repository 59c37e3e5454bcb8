#include "bridge/error_json.h"

#include <simdjson.h>

#include "state/base/json_text.h"

namespace switchback {

std::string to_json(const Error& error) {
  JsonWriter json;
  json.begin_object()
      .key("error")
      .begin_object()
      .member("kind", to_string(error.kind()))
      .member("retry", error.retry() == Retry::kLater)
      .member("message", error.message())
      .member("object", error.detail().object)
      .member("sqlstate", error.detail().sqlstate)
      .member("next", error.detail().next)
      .end_object()
      .end_object();
  return json.take();
}

std::optional<Error> parse_error(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view kind, message, object, sqlstate, next;
  bool retry = false;
  if (parser.parse(json.data(), json.size()).get(root)) return std::nullopt;
  const auto error = root["error"];
  if (error["kind"].get(kind) || error["retry"].get(retry) || error["message"].get(message) ||
      error["object"].get(object) || error["sqlstate"].get(sqlstate) || error["next"].get(next)) {
    return std::nullopt;
  }
  for (const ErrorKind known :
       {ErrorKind::kUsage, ErrorKind::kUnreachable, ErrorKind::kRefused, ErrorKind::kBusy,
        ErrorKind::kData, ErrorKind::kHistory, ErrorKind::kDisk, ErrorKind::kInternal}) {
    if (to_string(known) != kind) continue;
    return Error(known, retry ? Retry::kLater : Retry::kNever, std::string(message),
                 {.object = std::string(object),
                  .sqlstate = std::string(sqlstate),
                  .next = std::string(next)});
  }
  return std::nullopt;
}

}  // namespace switchback
