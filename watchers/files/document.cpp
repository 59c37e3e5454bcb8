#include "watchers/files/document.h"

#include <algorithm>
#include <charconv>

#include "state/base/decimal.h"
#include "state/base/utf8.h"

namespace switchback {
namespace {

std::uint32_t hex4(std::string_view digits) {
  std::uint32_t code = 0;
  std::from_chars(digits.data(), digits.data() + 4, code, 16);
  return code;
}

bool is_high(std::uint32_t code) {
  return code >= 0xD800 && code < 0xDC00;
}
bool is_low(std::uint32_t code) {
  return code >= 0xDC00 && code < 0xE000;
}

Hash128 mixed(const Hash128& hash, std::uint64_t salt) {
  const std::uint64_t parts[] = {hash.high, hash.low, salt};
  return hash_of({reinterpret_cast<const char*>(parts), sizeof parts});
}

}  // namespace

std::string unescape_json(std::string_view token) {
  std::string_view rest = token.substr(1, token.size() - 2);
  std::string out;
  out.reserve(rest.size());
  while (!rest.empty()) {
    const std::size_t plain = std::min(rest.find('\\'), rest.size());
    out.append(rest.substr(0, plain));
    rest.remove_prefix(plain);
    if (rest.empty()) break;
    const char c = rest[1];
    rest.remove_prefix(2);
    if (c != 'u') {
      constexpr std::string_view kLetters = "bfnrt", kMeanings = "\b\f\n\r\t";
      const std::size_t at = kLetters.find(c);
      out += at == kLetters.npos ? c : kMeanings[at];
      continue;
    }
    std::uint32_t code = hex4(rest);
    rest.remove_prefix(4);
    if (is_high(code) && rest.starts_with("\\u") && is_low(hex4(rest.substr(2)))) {
      code = 0x10000 + ((code - 0xD800) << 10) + (hex4(rest.substr(2)) - 0xDC00);
      rest.remove_prefix(6);
    }
    append_utf8(out, code);
  }
  return out;
}

TextPlace place_in(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t last = before.rfind('\n');
  TextPlace place;
  place.line += static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  place.column += before.size() - (last == before.npos ? 0 : last + 1);
  return place;
}

std::string Document::name(Node node) const {
  const std::string_view raw_token = raw_name(node);
  return raw_token.empty() ? std::string() : unescape_json(raw_token);
}

std::string Document::string(Node node) const {
  return unescape_json(raw(node));
}

std::optional<Document::Node> Document::first(Node container) const {
  if (at(container).count == 0) return std::nullopt;
  return Node{static_cast<std::uint32_t>(container) + 1};
}

std::optional<Document::Node> Document::next(Node value) const {
  const Value& here = at(value);
  if (value == kRoot || here.after >= values_[here.parent].after) return std::nullopt;
  return Node{here.after};
}

std::optional<Document::Node> Document::member(Node object, std::string_view wanted) const {
  if (sort(object) != JsonSort::kObject) return std::nullopt;
  for (auto value = first(object); value; value = next(*value)) {
    const std::string_view token = raw_name(*value);
    const std::string_view inner = token.substr(1, token.size() - 2);
    if (inner == wanted && inner.find('\\') == inner.npos) return value;
    if (inner.find('\\') != inner.npos && unescape_json(token) == wanted) return value;
  }
  return std::nullopt;
}

std::optional<Document::Node> Document::find(Node from, const MemberPath& path) const {
  std::optional<Node> here = from;
  for (const std::string& step : path) {
    if (sort(*here) == JsonSort::kArray) {
      std::uint32_t index = 0;
      const char* const end = step.data() + step.size();
      const auto result = std::from_chars(step.data(), end, index);
      const bool is_index = result.ec == std::errc() && result.ptr == end &&
                            (step == "0" || step.front() != '0') && index < count(*here);
      if (!is_index) return std::nullopt;
      here = first(*here);
      while (index-- != 0) here = next(*here);
    } else {
      here = member(*here, step);
    }
    if (!here) return std::nullopt;
  }
  return here;
}

std::string Document::compact(Node node) const {
  const std::string_view text = raw(node);
  if (!is_container(node) || text.find_first_of(" \t\r\n") == text.npos) return std::string(text);
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!in_string && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) continue;
    out += c;
    if (c == '"') in_string = !in_string;
    if (c == '\\' && in_string) out += text[++i];
  }
  return out;
}

Hash128 Document::meaning(Node node) const {
  const std::uint64_t salt = static_cast<std::uint64_t>(sort(node)) + 1;
  switch (sort(node)) {
    case JsonSort::kNull:
    case JsonSort::kTrue:
    case JsonSort::kFalse:
      return mixed({}, salt);
    case JsonSort::kNumber: {
      const std::string_view token = raw(node);
      const auto number = parse_decimal(token);
      if (!number) return mixed(hash_of(token), salt);
      const std::uint64_t shape =
          static_cast<std::uint64_t>(number->exponent) * 2 + (number->negative ? 1 : 0);
      return mixed(mixed(hash_of(number->digits), shape), salt);
    }
    case JsonSort::kString: {
      const std::string_view token = raw(node);
      if (token.find('\\') != token.npos) return mixed(hash_of(string(node)), salt);
      return mixed(hash_of(token.substr(1, token.size() - 2)), salt);
    }
    case JsonSort::kArray: {
      Hash128 sum;
      for (auto value = first(node); value; value = next(*value)) {
        const Hash128 part = meaning(*value);
        sum = mixed({sum.high ^ part.high, sum.low + part.low}, sum.high);
      }
      return mixed(sum, salt + count(node) * 8ull);
    }
    case JsonSort::kObject: {
      Hash128 sum;
      for (auto value = first(node); value; value = next(*value)) {
        const Hash128 part = meaning(*value);
        const Hash128 both = mixed({part.high ^ hash_of(name(*value)).low, part.low}, salt);
        sum.high += both.high;
        sum.low += both.low;
      }
      return mixed(sum, salt + count(node) * 8ull);
    }
  }
  return {};
}

std::string_view Document::indent(Node node) const {
  const std::string_view file = origin_.file.empty() ? text_ : origin_.file;
  const auto before =
      origin_.file.empty() ? 0u : static_cast<std::size_t>(text_.data() - file.data());
  const std::size_t last = file.substr(0, before + begin(node)).rfind('\n');
  const std::string_view line = file.substr(last == file.npos ? 0 : last + 1);
  return line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
}

std::string Document::pointer(Node node) const {
  std::string out;
  while (node != kRoot) {
    const Node parent{at(node).parent};
    std::string step;
    if (sort(parent) == JsonSort::kArray) {
      std::uint32_t index = 0;
      for (auto value = first(parent); *value != node; value = next(*value)) ++index;
      step = std::to_string(index);
    } else {
      for (const char c : name(node)) {
        if (c == '~') {
          step += "~0";
        } else if (c == '/') {
          step += "~1";
        } else {
          step += c;
        }
      }
    }
    out.insert(0, "/" + step);
    node = parent;
  }
  return origin_.pointer + out;
}

}  // namespace switchback
