// A strict JSON parser (RFC 8259) that keeps what others throw away: the digits of every number and
// every repeated key. It is the slow road of json_meaning.h, which calls it alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchback {

struct JsonNode {
  enum class Sort : std::uint8_t { kNull, kTrue, kFalse, kNumber, kString, kArray, kObject };
  Sort sort = Sort::kNull;
  std::string_view number;        // the token as written
  std::string text;               // kString: unescaped, a lone surrogate as its three bytes
  std::vector<std::string> keys;  // kObject, as many as items
  std::vector<JsonNode> items;    // kArray, kObject
};

struct JsonFindings {
  bool nul = false;  // a \u0000
  bool lone_surrogate = false;
  bool number_out_of_range = false;  // of PostgreSQL's numeric
};

inline constexpr int kJsonMaxDepth = 1000;

/// Parses `text`, which must be valid UTF-8, into `root`. False if it is not JSON or is nested
/// deeper than kJsonMaxDepth. Views in `root` point into `text`.
bool parse_json_tree(std::string_view text, JsonNode& root, JsonFindings& findings);

}  // namespace switchback
