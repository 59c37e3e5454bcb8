#include "watchers/files/style.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "watchers/files/document.h"

namespace switchback {
namespace {

constexpr std::size_t kEnough = std::size_t{256} << 10;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Reads a text for how it is written. Works on text that is cut off anywhere.
class Observer {
 public:
  Observer(std::string_view text, std::string_view indent, TextStyle& style)
      : text_(text), first_indent_(indent), style_(style) {}

  void look() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        string();
        continue;
      }
      if (c == '\n') {
        line_ = at_ + 1;
        if (!line_end_seen_) style_.line_end = at_ > 0 && text_[at_ - 1] == '\r' ? "\r\n" : "\n";
        line_end_seen_ = true;
      }
      if (c == '{' || c == '[') container();
      if (c == ',') separator(style_.comma, comma_seen_, ",");
      if (c == ':') separator(style_.colon, colon_seen_, ":");
      ++at_;
    }
  }

 private:
  void string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (static_cast<unsigned char>(text_[at_]) >= 0x80 && !ascii_seen_) {
        style_.ascii = false;
        ascii_seen_ = true;
      }
      if (text_[at_] == '\\') escape();
    }
    ++at_;
  }

  void escape() {
    if (++at_ >= text_.size()) return;
    if (text_[at_] == '/') style_.slash = true;
    if (text_[at_] != 'u' || at_ + 4 >= text_.size()) return;
    const std::string_view digits = text_.substr(at_ + 1, 4);
    if (digits > "007F" && digits[0] != '"' && !ascii_seen_) {
      style_.ascii = true;
      ascii_seen_ = true;
    }
    if (digits.find_first_of("abcdef") != digits.npos) style_.upper_hex = false;
    if (digits.find_first_of("ABCDEF") != digits.npos) style_.upper_hex = true;
  }

  /// The first container that holds something shows whether each value has its own line, the first
  /// that does shows the indentation.
  void container() {
    std::size_t next = at_ + 1;
    std::optional<std::size_t> child_line;
    for (; next < text_.size() && is_blank(text_[next]); ++next) {
      if (text_[next] == '\n') child_line = next + 1;
    }
    if (next >= text_.size() || text_[next] == '}' || text_[next] == ']') return;
    if (!lines_seen_) style_.lines = child_line.has_value();
    lines_seen_ = true;
    if (!child_line || unit_seen_) return;
    const std::string_view outer = line_ == 0 ? first_indent_ : blanks_at(line_);
    const std::string_view inner = text_.substr(*child_line, next - *child_line);
    if (inner.size() > outer.size() && inner.starts_with(outer)) {
      style_.unit = inner.substr(outer.size());
      unit_seen_ = true;
    } else if (inner.size() == outer.size()) {
      style_.unit.clear();
      unit_seen_ = true;
    }
  }

  std::string_view blanks_at(std::size_t begin) const {
    const std::size_t end = std::min(text_.find_first_not_of(" \t", begin), text_.size());
    return text_.substr(begin, end - begin);
  }

  /// What stands between two values of one line.
  void separator(std::string& out, bool& seen, std::string_view mark) {
    if (seen || at_ + 1 >= text_.size()) return;
    std::size_t next = at_ + 1;
    while (next < text_.size() && text_[next] == ' ') ++next;
    if (next >= text_.size() || text_[next] == '\n' || text_[next] == '\r') return;
    std::size_t before = at_;
    while (mark == ":" && before > 0 && text_[before - 1] == ' ') --before;
    out = text_.substr(before, next - before);
    seen = true;
  }

  std::string_view text_, first_indent_;
  TextStyle& style_;
  std::size_t at_ = 0, line_ = 0;
  bool lines_seen_ = false, unit_seen_ = false, comma_seen_ = false, colon_seen_ = false,
       ascii_seen_ = false, line_end_seen_ = false;
};

void append_escape(std::string& out, std::uint32_t unit, bool upper) {
  out += upper ? fmt::format("\\u{:04X}", unit) : fmt::format("\\u{:04x}", unit);
}

/// Decodes one character of valid UTF-8 (a surrogate may stand alone) and moves past it.
std::uint32_t next_character(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  const std::size_t size = lead < 0x80 ? 1u : lead < 0xE0 ? 2u : lead < 0xF0 ? 3u : 4u;
  std::uint32_t code = size == 1 ? lead : lead & (0xFFu >> (size + 1));
  for (std::size_t i = 1; i < size && at + i < text.size(); ++i) {
    code = code << 6 | (byte(at + i) & 0x3Fu);
  }
  at = std::min(at + size, text.size());
  return code;
}

/// Prints a document's value, each token anew.
class Printer {
 public:
  Printer(const TextStyle& style, const Document& document) : style_(style), document_(document) {}

  void value(Document::Node node, std::string& out, const std::string& indent) const {
    switch (document_.sort(node)) {
      case JsonSort::kNull:
      case JsonSort::kTrue:
      case JsonSort::kFalse:
      case JsonSort::kNumber:
        out += document_.raw(node);
        return;
      case JsonSort::kString:
        out += style_.quote(document_.string(node));
        return;
      case JsonSort::kArray:
      case JsonSort::kObject:
        container(node, out, indent);
        return;
    }
  }

 private:
  void container(Document::Node node, std::string& out, const std::string& indent) const {
    const bool object = document_.sort(node) == JsonSort::kObject;
    out += object ? '{' : '[';
    const std::string inner = indent + style_.unit;
    bool first = true;
    for (auto child = document_.first(node); child; child = document_.next(*child)) {
      if (!first) out += style_.lines ? "," : style_.comma;
      first = false;
      if (style_.lines) out += style_.line_end + inner;
      if (object) out += style_.quote(document_.name(*child)) + style_.colon;
      value(*child, out, inner);
    }
    if (!first && style_.lines) out += style_.line_end + indent;
    out += object ? '}' : ']';
  }

  const TextStyle& style_;
  const Document& document_;
};

}  // namespace

TextStyle TextStyle::of(std::string_view text, bool assume_ascii) {
  TextStyle style;
  style.lines = true;
  style.colon = ": ";
  style.ascii = assume_ascii;
  style.final_line_end = text.ends_with('\n');
  return style.refined_by(text);
}

TextStyle TextStyle::refined_by(std::string_view text, std::string_view indent) const {
  TextStyle style = *this;
  Observer(text.substr(0, kEnough), indent, style).look();
  return style;
}

std::string TextStyle::quote(std::string_view utf8) const {
  constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
  std::string out = "\"";
  for (std::size_t at = 0; at < utf8.size();) {
    const char c = utf8[at];
    const auto byte = static_cast<unsigned char>(c);
    if (const std::size_t known = kPlain.find(c); known != kPlain.npos) {
      out += '\\';
      out += kLetters[known];
      ++at;
    } else if (byte < 0x20) {
      append_escape(out, byte, upper_hex);
      ++at;
    } else if (byte < 0x80) {
      if (c == '/' && slash) out += '\\';
      out += c;
      ++at;
    } else {
      const std::size_t begin = at;
      const std::uint32_t code = next_character(utf8, at);
      const bool lone = code >= 0xD800 && code < 0xE000;
      if (!ascii && !lone) {
        out += utf8.substr(begin, at - begin);
      } else if (code < 0x10000) {
        append_escape(out, code, upper_hex);
      } else {
        append_escape(out, 0xD800 + ((code - 0x10000) >> 10), upper_hex);
        append_escape(out, 0xDC00 + ((code - 0x10000) & 0x3FF), upper_hex);
      }
    }
  }
  out += '"';
  return out;
}

std::string TextStyle::print(std::string_view json, std::string_view indent) const {
  const Document document = Document::parse(json, {.where = "a value"});
  std::string out;
  Printer(*this, document).value(Document::kRoot, out, std::string(indent));
  return out;
}

}  // namespace switchback
