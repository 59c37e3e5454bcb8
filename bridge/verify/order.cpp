#include "bridge/verify/order.h"

#include <simdjson.h>

#include "state/base/error.h"
#include "state/base/json_text.h"

namespace switchback {

std::string to_json(const VerifyOrder& order) {
  JsonWriter json;
  json.begin_object()
      .member("table", order.table)
      .member("repair", order.repair)
      .member("by", order.by)
      .end_object();
  return json.take();
}

VerifyOrder parse_verify_order(std::string_view text) {
  const auto fail = [](const char* what) {
    return Error(ErrorKind::kUsage, Retry::kNever, what,
                 {.next = R"(send {"table":"","repair":false})"});
  };
  VerifyOrder order;
  if (text.empty()) return order;
  simdjson::dom::parser parser;
  simdjson::dom::object root;
  if (parser.parse(text.data(), text.size()).get(root)) throw fail("the body is no JSON object");
  for (const auto& [key, value] : root) {
    std::string_view word;
    if (key == "table") {
      if (value.get(word)) throw fail("\"table\" is a string");
      order.table = word;
    } else if (key == "by") {
      if (value.get(word)) throw fail("\"by\" is a string");
      order.by = word;
    } else if (key == "repair") {
      if (value.get(order.repair)) throw fail("\"repair\" is true or false");
    } else {
      throw fail("the body has an unknown member");
    }
  }
  return order;
}

}  // namespace switchback
