// How a text becomes a Document, and what is said when it is none.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "state/base/error.h"
#include "watchers/files/document.h"

namespace switchback {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

[[noreturn]] void refuse(std::string_view text, const TextOrigin& origin, std::size_t offset,
                         const std::string& pointer, const std::string& what) {
  const std::string_view file = origin.file.empty() ? text : origin.file;
  const auto before = static_cast<std::size_t>(text.data() - file.data());
  const TextPlace place = place_in(file, (origin.file.empty() ? 0 : before) + offset);
  const std::string at = origin.pointer + pointer;
  throw Error(ErrorKind::kData, Retry::kLater,
              fmt::format("{}:{}:{} {}: {}", origin.where, place.line, place.column,
                          at.empty() ? "(the whole)" : at, what),
              {.object = std::string(origin.where)});
}

/// The first byte that is no part of valid UTF-8.
std::size_t first_invalid(std::string_view text) {
  // A prefix that ends on a character's border is valid exactly up to the culprit's character.
  std::size_t good = 0, size = 1;
  while (good < text.size()) {
    bool whole = false;
    for (size = 1; size <= 4 && good + size <= text.size(); ++size) {
      if (simdjson::validate_utf8(text.data() + good, size)) {
        whole = true;
        break;
      }
    }
    if (!whole) return good;
    good += size;
  }
  return good;
}

}  // namespace

class DocumentParser {
 public:
  DocumentParser(std::string_view text, const TextOrigin& origin) {
    document_.text_ = text_ = text;
    document_.origin_ = origin;
  }

  Document parse() {
    if (text_.size() >= UINT32_MAX) fail(0, "4 GiB or more in one value");
    if (text_.starts_with("\xEF\xBB\xBF")) fail(0, "a byte order mark, which JSON does not have");
    if (!simdjson::validate_utf8(text_.data(), text_.size())) {
      // What stands before it says where in the document it is.
      text_ = text_.substr(0, first_invalid(text_));
      cut_ = true;
    }
    document_.values_.reserve(text_.size() / 12 + 4);
    blanks();
    value(0, 0);
    while (!open_.empty()) step();
    blanks();
    if (cut_ || at_ != text_.size()) fail(at_, "something follows the value's end");
    return std::move(document_);
  }

 private:
  using Value = Document::Value;

  [[noreturn]] void fail(std::size_t offset, const std::string& what) const {
    std::string pointer;
    for (const std::uint32_t container : open_) {
      // The member or element that is being read is the last one begun in each.
      std::uint32_t child = container + 1;
      if (document_.values_.size() <= child) break;
      std::uint32_t index = 0;
      for (;; ++index) {
        const std::uint32_t after = document_.values_[child].after;
        if (after == 0 || after >= document_.values_.size()) break;
        child = after;
      }
      const auto node = Document::Node{child};
      pointer += '/';
      pointer += document_.sort(Document::Node{container}) == JsonSort::kArray
                     ? std::to_string(index)
                     : document_.name(node);
    }
    if (cut_) refuse(text_, document_.origin_, text_.size(), pointer, "a byte that is not UTF-8");
    refuse(text_, document_.origin_, offset, pointer, what);
  }

  std::string found(std::size_t offset) const {
    if (offset >= text_.size()) return "the text ends";
    const auto c = static_cast<unsigned char>(text_[offset]);
    return c < 0x20 || c == 0x7F ? fmt::format("found byte {:#04x}", c)
                                 : fmt::format("found '{}'", one_character(offset));
  }
  std::string_view one_character(std::size_t offset) const {
    std::size_t size = 1;
    while (offset + size < text_.size() &&
           (static_cast<unsigned char>(text_[offset + size]) & 0xC0) == 0x80) {
      ++size;
    }
    return text_.substr(offset, size);
  }

  void blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  /// After a value inside a container, or after its opening bracket: what comes next.
  void step() {
    const std::uint32_t container = open_.back();
    const bool object = document_.values_[container].sort == JsonSort::kObject;
    const char bracket = object ? '}' : ']';
    blanks();
    if (document_.values_[container].count != 0 || take(bracket)) {
      if (document_.values_[container].count == 0 || take(bracket)) return close();
      if (!take(',')) fail(at_, fmt::format("expected ',' or '{}', {}", bracket, found(at_)));
      blanks();
    }
    ++document_.values_[container].count;
    if (object) {
      member();
    } else {
      value(0, 0);
    }
  }

  void close() {
    const std::uint32_t container = open_.back();
    Value& value = document_.values_[container];
    if (value.sort == JsonSort::kObject) check_names(container);
    open_.pop_back();
    value.end = static_cast<std::uint32_t>(at_);
    value.after = static_cast<std::uint32_t>(document_.values_.size());
  }

  void member() {
    if (at_ >= text_.size() || text_[at_] != '"') {
      fail(at_, fmt::format("expected a member's name in quotes, {}", found(at_)));
    }
    const std::size_t begin = at_;
    string();
    const std::size_t end = at_;
    blanks();
    if (!take(':')) fail(at_, fmt::format("expected ':', {}", found(at_)));
    blanks();
    value(begin, end);
  }

  void value(std::size_t name_begin, std::size_t name_end) {
    Value made;
    made.begin = static_cast<std::uint32_t>(at_);
    made.name_begin = static_cast<std::uint32_t>(name_begin);
    made.name_end = static_cast<std::uint32_t>(name_end);
    made.parent = open_.empty() ? 0 : open_.back();
    const auto index = static_cast<std::uint32_t>(document_.values_.size());
    document_.values_.push_back(made);
    if (at_ >= text_.size()) fail(at_, "expected a value, the text ends");
    const char c = text_[at_];
    JsonSort sort = JsonSort::kNumber;
    if (c == '{' || c == '[') {
      if (open_.size() >= Document::kMostDepth) {
        fail(at_, fmt::format("nested deeper than {} levels", Document::kMostDepth));
      }
      document_.values_[index].sort = c == '{' ? JsonSort::kObject : JsonSort::kArray;
      ++at_;
      open_.push_back(index);
      return;
    }
    if (c == '"') {
      sort = JsonSort::kString;
      string();
    } else if (c == '-' || is_digit(c)) {
      number();
    } else {
      sort = word();
    }
    Value& done = document_.values_[index];
    done.sort = sort;
    done.end = static_cast<std::uint32_t>(at_);
    done.after = index + 1;
  }

  JsonSort word() {
    const std::string_view rest = text_.substr(at_);
    constexpr std::pair<std::string_view, JsonSort> kWords[] = {
        {"true", JsonSort::kTrue}, {"false", JsonSort::kFalse}, {"null", JsonSort::kNull}};
    for (const auto& [spelling, sort] : kWords) {
      if (!rest.starts_with(spelling)) continue;
      at_ += spelling.size();
      return sort;
    }
    for (const std::string_view no_json : {"NaN", "Infinity"}) {
      if (rest.starts_with(no_json)) fail(at_, fmt::format("{} is no JSON", no_json));
    }
    fail(at_, fmt::format("expected a value, {}", found(at_)));
  }

  bool digits() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ != begin;
  }

  void number() {
    const std::size_t begin = at_;
    take('-');
    if (text_.substr(at_).starts_with("Infinity")) fail(begin, "-Infinity is no JSON");
    const bool zero = at_ < text_.size() && text_[at_] == '0';
    const std::size_t whole = at_;
    if (!digits()) fail(at_, fmt::format("expected a digit, {}", found(at_)));
    if (zero && at_ > whole + 1) fail(whole, "a number with a zero before it");
    if (take('.') && !digits()) fail(at_, fmt::format("expected a digit, {}", found(at_)));
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (!take('+')) take('-');
      if (!digits()) fail(at_, fmt::format("expected a digit, {}", found(at_)));
    }
  }

  void string() {
    ++at_;
    for (;;) {
      while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
             static_cast<unsigned char>(text_[at_]) >= 0x20) {
        ++at_;
      }
      if (at_ >= text_.size()) fail(at_, "the text ends inside a string");
      if (take('"')) return;
      if (text_[at_] != '\\')
        fail(at_, fmt::format("a control character in a string, {}", found(at_)));
      escape();
    }
  }

  void escape() {
    const std::size_t begin = at_++;
    if (at_ >= text_.size()) fail(at_, "the text ends inside a string");
    const char c = text_[at_++];
    if (std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos) return;
    if (c != 'u') fail(begin, "no such escape");
    for (int i = 0; i < 4; ++i, ++at_) {
      const bool hex =
          at_ < text_.size() && (is_digit(text_[at_]) || (text_[at_] >= 'a' && text_[at_] <= 'f') ||
                                 (text_[at_] >= 'A' && text_[at_] <= 'F'));
      if (!hex) fail(begin, "\\u needs four hexadecimal digits");
    }
  }

  /// An object that says a member twice means different things to different readers.
  void check_names(std::uint32_t object) {
    const std::uint32_t count = document_.values_[object].count;
    if (count < 2) return;
    names_.clear();
    std::uint32_t child = object + 1;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::string_view token = document_.raw_name(Document::Node{child});
      const std::string_view inner = token.substr(1, token.size() - 2);
      const std::uint64_t hash =
          inner.find('\\') == inner.npos ? hash_of(inner).low : hash_of(unescape_json(token)).low;
      names_.push_back({hash, child});
      child = document_.values_[child].after;
    }
    std::sort(names_.begin(), names_.end());
    for (std::size_t i = 1; i < names_.size(); ++i) {
      if (names_[i].first != names_[i - 1].first) continue;
      const auto twice = Document::Node{names_[i].second};
      if (document_.name(twice) != document_.name(Document::Node{names_[i - 1].second})) continue;
      open_.pop_back();
      fail(document_.values_[names_[i].second].name_begin,
           fmt::format("the member \"{}\" is there twice", document_.name(twice)));
    }
  }

  bool cut_ = false;  // text_ ends where it is not UTF-8 any more
  std::string_view text_;
  std::size_t at_ = 0;
  Document document_;
  std::vector<std::uint32_t> open_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> names_;
};

Document Document::parse(std::string_view text, const TextOrigin& origin) {
  return DocumentParser(text, origin).parse();
}

std::string Document::place(Node node) const {
  const std::string_view file = origin_.file.empty() ? text_ : origin_.file;
  const auto before =
      origin_.file.empty() ? 0u : static_cast<std::size_t>(text_.data() - file.data());
  const TextPlace place = place_in(file, before + begin(node));
  return fmt::format("{}:{}:{} {}", origin_.where, place.line, place.column, pointer(node));
}

}  // namespace switchback
