#include "state/base/json_tree.h"

#include <cstdlib>

#include "state/base/ascii.h"
#include "state/base/decimal.h"
#include "state/base/utf8.h"

namespace switchback {
namespace {

// https://www.postgresql.org/docs/15/datatype-numeric.html
constexpr std::int64_t kNumericWhole = 131072, kNumericFraction = 16383;

class Parser {
 public:
  Parser(std::string_view text, JsonFindings& findings) : rest_(text), findings_(findings) {}

  bool document(JsonNode& root) {
    if (!value(root, 0)) return false;
    blank();
    return rest_.empty();
  }

 private:
  void blank() {
    const std::size_t at = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at);
  }
  bool mark(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }

  bool value(JsonNode& node, int depth) {
    blank();
    if (rest_.empty() || depth > kJsonMaxDepth) return false;
    switch (rest_.front()) {
      case '{':
        return object(node, depth);
      case '[':
        return array(node, depth);
      case '"':
        node.sort = JsonNode::Sort::kString;
        return string(node.text);
      case 't':
        node.sort = JsonNode::Sort::kTrue;
        return word("true");
      case 'f':
        node.sort = JsonNode::Sort::kFalse;
        return word("false");
      case 'n':
        node.sort = JsonNode::Sort::kNull;
        return word("null");
      default:
        return number(node);
    }
  }

  bool object(JsonNode& node, int depth) {
    node.sort = JsonNode::Sort::kObject;
    rest_.remove_prefix(1);
    blank();
    if (mark('}')) return true;
    do {
      blank();
      node.keys.emplace_back();
      if (rest_.empty() || rest_.front() != '"' || !string(node.keys.back())) return false;
      blank();
      node.items.emplace_back();
      if (!mark(':') || !value(node.items.back(), depth + 1)) return false;
      blank();
    } while (mark(','));
    return mark('}');
  }

  bool array(JsonNode& node, int depth) {
    node.sort = JsonNode::Sort::kArray;
    rest_.remove_prefix(1);
    blank();
    if (mark(']')) return true;
    do {
      node.items.emplace_back();
      if (!value(node.items.back(), depth + 1)) return false;
      blank();
    } while (mark(','));
    return mark(']');
  }

  std::size_t digits(std::size_t at) const {
    while (at < rest_.size() && is_digit(rest_[at])) ++at;
    return at;
  }

  bool number(JsonNode& node) {
    node.sort = JsonNode::Sort::kNumber;
    const std::size_t whole = rest_.front() == '-' ? 1 : 0;
    std::size_t at = digits(whole);
    if (at == whole || (rest_[whole] == '0' && at > whole + 1)) return false;
    std::size_t written_fraction = 0;
    if (at < rest_.size() && rest_[at] == '.') {
      const std::size_t first = at + 1;
      at = digits(first);
      written_fraction = at - first;
      if (written_fraction == 0) return false;
    }
    if (at < rest_.size() && (rest_[at] == 'e' || rest_[at] == 'E')) {
      ++at;
      if (at < rest_.size() && (rest_[at] == '+' || rest_[at] == '-')) ++at;
      const std::size_t first = at;
      at = digits(first);
      if (at == first) return false;
    }
    node.number = rest_.substr(0, at);
    rest_.remove_prefix(at);
    check_range(node.number, static_cast<std::int64_t>(written_fraction));
    return true;
  }

  void check_range(std::string_view token, std::int64_t written_fraction) {
    const std::size_t e = token.find_first_of("eE");
    if (e == std::string_view::npos && token.size() < 1000) return;
    const auto value = parse_decimal(token);
    if (!value) {
      findings_.number_out_of_range = true;
      return;
    }
    // The scale counts the digits as written, trailing zeros included.
    const auto exponent = parse_decimal(e == std::string_view::npos ? "0" : token.substr(e + 1));
    std::int64_t shift = 0;
    if (exponent) shift = std::atoll(to_plain(*exponent).c_str());
    if (value->integer_digits() > kNumericWhole || written_fraction - shift > kNumericFraction) {
      findings_.number_out_of_range = true;
    }
  }

  bool string(std::string& out) {
    rest_.remove_prefix(1);
    for (;;) {
      std::size_t plain = 0;
      while (plain < rest_.size() && rest_[plain] != '"' && rest_[plain] != '\\' &&
             static_cast<unsigned char>(rest_[plain]) >= 0x20) {
        ++plain;
      }
      out.append(rest_.substr(0, plain));
      rest_.remove_prefix(plain);
      if (mark('"')) return true;
      if (!mark('\\') || !escape(out)) return false;
    }
  }

  bool escape(std::string& out) {
    if (rest_.empty()) return false;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    switch (c) {
      case '"':
      case '\\':
      case '/':
        out += c;
        return true;
      case 'b':
        out += '\b';
        return true;
      case 'f':
        out += '\f';
        return true;
      case 'n':
        out += '\n';
        return true;
      case 'r':
        out += '\r';
        return true;
      case 't':
        out += '\t';
        return true;
      case 'u':
        return unicode(out);
      default:
        return false;
    }
  }

  bool hex4(std::uint32_t& code) {
    if (rest_.size() < 4) return false;
    code = 0;
    for (const char c : rest_.substr(0, 4)) {
      const bool lower = c >= 'a' && c <= 'f', upper = c >= 'A' && c <= 'F';
      if (!is_digit(c) && !lower && !upper) return false;
      const int digit = is_digit(c) ? c - '0' : lower ? c - 'a' + 10 : c - 'A' + 10;
      code = code * 16 + static_cast<std::uint32_t>(digit);
    }
    rest_.remove_prefix(4);
    return true;
  }

  bool unicode(std::string& out) {
    std::uint32_t code = 0;
    if (!hex4(code)) return false;
    if (code == 0) findings_.nul = true;
    if (code >= 0xD800 && code < 0xDC00) {
      const std::string_view before = rest_;
      std::uint32_t low = 0;
      if (word("\\u") && hex4(low) && low >= 0xDC00 && low < 0xE000) {
        append_utf8(out, 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
        return true;
      }
      rest_ = before;  // what follows is looked at again, as what it is
    }
    if (code >= 0xD800 && code < 0xE000) findings_.lone_surrogate = true;
    append_utf8(out, code);
    return true;
  }

  std::string_view rest_;
  JsonFindings& findings_;
};

}  // namespace

bool parse_json_tree(std::string_view text, JsonNode& root, JsonFindings& findings) {
  return Parser(text, findings).document(root);
}

}  // namespace switchback
