#include "state/base/json_meaning.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "state/base/ascii.h"
#include "state/base/decimal.h"
#include "state/base/json_tree.h"

namespace switchback {
namespace {

/// Whether an exponent after a digit occurs: only such numbers, or very long ones, can leave the
/// range of PostgreSQL's numeric without simdjson noticing.
bool may_have_exponent(std::string_view text) {
  for (std::size_t at = text.find("e-"); at != std::string_view::npos;
       at = text.find("e-", at + 2)) {
    if (at > 0 && is_digit(text[at - 1])) return true;
  }
  for (std::size_t at = text.find("E-"); at != std::string_view::npos;
       at = text.find("E-", at + 2)) {
    if (at > 0 && is_digit(text[at - 1])) return true;
  }
  return false;
}

/// Above this a single number could have more digits than numeric has room for.
constexpr std::size_t kShortEnough = 16000;
constexpr std::size_t kFewEnoughToCopy = std::size_t{4} << 20;

/// True: valid, and nothing in it that jsonb could refuse. False: look closer.
bool plainly_fine(std::string_view text, JsonFlavour flavour) {
  if (text.starts_with("\xEF\xBB\xBF")) return false;
  if (flavour == JsonFlavour::kJsonb &&
      (text.size() > kShortEnough || text.find("\\u") != std::string_view::npos ||
       may_have_exponent(text))) {
    return false;
  }
  if (text.size() > kFewEnoughToCopy) return false;
  thread_local simdjson::dom::parser parser;
  thread_local std::string padded;
  padded.assign(text);
  padded.append(simdjson::SIMDJSON_PADDING, ' ');
  return parser.parse(padded.data(), text.size(), false).error() == simdjson::SUCCESS;
}

bool number_same(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const auto x = parse_decimal(a), y = parse_decimal(b);
  return x && y && *x == *y;
}

bool same(const JsonNode& a, const JsonNode& b);

/// Indexes of an object's members by key, only the last of those that share one.
std::vector<std::size_t> effective_members(const JsonNode& node) {
  std::vector<std::size_t> order(node.keys.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return node.keys[x] < node.keys[y]; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i + 1 < order.size() && node.keys[order[i]] == node.keys[order[i + 1]]) continue;
    order[kept++] = order[i];
  }
  order.resize(kept);
  return order;
}

bool object_same(const JsonNode& a, const JsonNode& b) {
  const auto left = effective_members(a), right = effective_members(b);
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (a.keys[left[i]] != b.keys[right[i]]) return false;
    if (!same(a.items[left[i]], b.items[right[i]])) return false;
  }
  return true;
}

bool same(const JsonNode& a, const JsonNode& b) {
  if (a.sort != b.sort) return false;
  switch (a.sort) {
    case JsonNode::Sort::kNull:
    case JsonNode::Sort::kTrue:
    case JsonNode::Sort::kFalse:
      return true;
    case JsonNode::Sort::kNumber:
      return number_same(a.number, b.number);
    case JsonNode::Sort::kString:
      return a.text == b.text;
    case JsonNode::Sort::kArray:
      return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same);
    case JsonNode::Sort::kObject:
      return object_same(a, b);
  }
  return false;
}

void append_sized(std::string_view text, std::string& out) {
  const std::uint64_t size = text.size();
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out += text;
}

void append_count(std::size_t count, std::string& out) {
  const std::uint64_t number = count;
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void append_meaning(const JsonNode& node, std::string& out) {
  out += static_cast<char>(node.sort);
  switch (node.sort) {
    case JsonNode::Sort::kNull:
    case JsonNode::Sort::kTrue:
    case JsonNode::Sort::kFalse:
      return;
    case JsonNode::Sort::kNumber:
      append_decimal_meaning(node.number, out);
      return;
    case JsonNode::Sort::kString:
      append_sized(node.text, out);
      return;
    case JsonNode::Sort::kArray:
      append_count(node.items.size(), out);
      for (const JsonNode& item : node.items) append_meaning(item, out);
      return;
    case JsonNode::Sort::kObject: {
      const auto members = effective_members(node);
      append_count(members.size(), out);
      for (const std::size_t member : members) {
        append_sized(node.keys[member], out);
        append_meaning(node.items[member], out);
      }
      return;
    }
  }
}

// The same bytes from simdjson's tree, which is made in a fraction of the time. It keeps integers
// only as they are written, so any other number is false: look closer.
using Element = simdjson::dom::element;

void append_sort(JsonNode::Sort sort, std::string& out) {
  out += static_cast<char>(sort);
}

void append_integer(auto value, std::string& out) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  append_sort(JsonNode::Sort::kNumber, out);
  append_decimal_meaning({digits, static_cast<std::size_t>(end - digits)}, out);
}

bool append_quickly(const Element& element, std::string& out);

bool append_quickly(const simdjson::dom::object& object, std::string& out) {
  using Member = std::pair<std::string_view, Element>;
  std::vector<Member> members;
  for (const auto& [key, value] : object) members.emplace_back(key, value);
  const auto before = [](const Member& a, const Member& b) { return a.first < b.first; };
  if (!std::is_sorted(members.begin(), members.end(), before)) {
    std::stable_sort(members.begin(), members.end(), before);
  }
  // Only the last of those that share a key.
  std::size_t kept = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i + 1 < members.size() && members[i].first == members[i + 1].first) continue;
    members[kept++] = members[i];
  }
  members.resize(kept);
  append_sort(JsonNode::Sort::kObject, out);
  append_count(members.size(), out);
  return std::all_of(members.begin(), members.end(), [&](const Member& member) {
    append_sized(member.first, out);
    return append_quickly(member.second, out);
  });
}

bool append_quickly(const Element& element, std::string& out) {
  using Type = simdjson::dom::element_type;
  switch (element.type()) {
    case Type::NULL_VALUE:
      append_sort(JsonNode::Sort::kNull, out);
      return true;
    case Type::BOOL:
      append_sort(
          element.get_bool().value_unsafe() ? JsonNode::Sort::kTrue : JsonNode::Sort::kFalse, out);
      return true;
    case Type::INT64:
      append_integer(element.get_int64().value_unsafe(), out);
      return true;
    case Type::UINT64:
      append_integer(element.get_uint64().value_unsafe(), out);
      return true;
    case Type::DOUBLE:
      return false;
    case Type::STRING:
      append_sort(JsonNode::Sort::kString, out);
      append_sized(element.get_string().value_unsafe(), out);
      return true;
    case Type::ARRAY: {
      const simdjson::dom::array array = element.get_array().value_unsafe();
      append_sort(JsonNode::Sort::kArray, out);
      std::size_t count = 0;
      for ([[maybe_unused]] const Element item : array) ++count;
      append_count(count, out);
      return std::all_of(array.begin(), array.end(),
                         [&](const Element& item) { return append_quickly(item, out); });
    }
    case Type::OBJECT:
      return append_quickly(element.get_object().value_unsafe(), out);
  }
  return false;
}

bool append_quickly(std::string_view text, std::string& out) {
  if (text.size() > kShortEnough) return false;
  thread_local simdjson::dom::parser parser;
  thread_local std::string padded;
  padded.assign(text);
  padded.append(simdjson::SIMDJSON_PADDING, ' ');
  Element root;
  if (parser.parse(padded.data(), text.size(), false).get(root)) return false;
  const std::size_t before = out.size();
  if (append_quickly(root, out)) return true;
  out.resize(before);
  return false;
}

}  // namespace

std::optional<std::string_view> json_refusal(std::string_view text, JsonFlavour flavour) {
  if (plainly_fine(text, flavour)) return std::nullopt;
  if (!simdjson::validate_utf8(text.data(), text.size())) return "it is not valid UTF-8";
  JsonNode root;
  JsonFindings findings;
  if (!parse_json_tree(text, root, findings)) return "it is not valid JSON";
  if (flavour == JsonFlavour::kJson) return std::nullopt;
  if (findings.nul) return "jsonb cannot hold \\u0000";
  if (findings.lone_surrogate) return "jsonb cannot hold half of a surrogate pair";
  if (findings.number_out_of_range) return "a number is beyond PostgreSQL's numeric";
  return std::nullopt;
}

bool json_same(std::string_view a, std::string_view b) {
  if (a == b) return true;
  JsonNode left, right;
  JsonFindings findings;
  return parse_json_tree(a, left, findings) && parse_json_tree(b, right, findings) &&
         same(left, right);
}

void append_json_meaning(std::string_view text, std::string& out) {
  if (append_quickly(text, out)) return;
  JsonNode root;
  JsonFindings findings;
  if (parse_json_tree(text, root, findings)) {
    append_meaning(root, out);
    return;
  }
  out += '!';
  append_sized(text, out);
}

void append_decimal_meaning(std::string_view text, std::string& out) {
  const auto number = parse_decimal(text);
  if (!number) {
    out += '!';
    append_sized(text, out);
    return;
  }
  out += number->negative && !number->zero() ? '-' : '+';
  append_count(static_cast<std::size_t>(number->exponent), out);
  append_sized(number->digits, out);
}

}  // namespace switchback
