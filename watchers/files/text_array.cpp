#include "watchers/files/text_array.h"

#include <algorithm>
#include <cctype>

namespace switchback {
namespace {

bool is_null_word(std::string_view text) {
  constexpr std::string_view kWord = "NULL";
  return std::equal(text.begin(), text.end(), kWord.begin(), kWord.end(), [](char a, char b) {
    return std::toupper(static_cast<unsigned char>(a)) == b;
  });
}

/// src/backend/utils/adt/arrayfuncs.c: array_out()
void append_item(std::string& out, std::string_view text) {
  const bool plain =
      !text.empty() && !is_null_word(text) && text.find_first_of("\"\\{}, \t\n\r\v\f") == text.npos;
  if (plain) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

std::string item_json(const ColumnMap& column, const std::string& text, const TextStyle& style) {
  const std::string_view base =
      std::string_view(column.type_name).substr(0, column.type_name.size() - 2);
  if (base == "boolean") return text == "t" ? "true" : "false";
  const bool number = base == "integer" || base == "bigint" || base == "smallint" ||
                      base == "double precision" || base == "real" || base.starts_with("numeric");
  const bool finite = text.find_first_not_of("0123456789+-.eE") == text.npos;
  return number && finite ? text : style.quote(text);
}

}  // namespace

bool is_text_array(const ColumnMap& column) {
  return column.type == PgType::kOtherText && column.type_name.ends_with("[]");
}

std::optional<std::string> array_literal(const Document& document, Document::Node node) {
  if (document.sort(node) != JsonSort::kArray) return std::nullopt;
  std::string out = "{";
  for (auto item = document.first(node); item; item = document.next(*item)) {
    if (out.size() > 1) out += ',';
    switch (document.sort(*item)) {
      case JsonSort::kNull:
        out += "NULL";
        break;
      case JsonSort::kTrue:
        out += 't';
        break;
      case JsonSort::kFalse:
        out += 'f';
        break;
      case JsonSort::kNumber:
        out += document.raw(*item);
        break;
      case JsonSort::kString: {
        const std::string text = document.string(*item);
        if (text.find('\0') != text.npos) return std::nullopt;
        append_item(out, text);
        break;
      }
      case JsonSort::kArray:
      case JsonSort::kObject:
        return std::nullopt;
    }
  }
  return out + '}';
}

std::optional<std::string> json_of_array_literal(const ColumnMap& column, std::string_view literal,
                                                 const TextStyle& style) {
  if (literal.size() < 2 || literal.front() != '{' || literal.back() != '}') return std::nullopt;
  const std::string_view body = literal.substr(1, literal.size() - 2);
  std::string out = "[";
  for (std::size_t at = 0; at < body.size(); ++at) {
    if (out.size() > 1) out += ',';
    std::string item;
    const bool quoted = body[at] == '"';
    if (quoted) {
      for (++at; at < body.size() && body[at] != '"'; ++at) {
        if (body[at] == '\\' && at + 1 < body.size()) ++at;
        item += body[at];
      }
      ++at;
    } else {
      for (; at < body.size() && body[at] != ','; ++at) {
        if (body[at] == '{') return std::nullopt;
        item += body[at];
      }
    }
    out += !quoted && is_null_word(item) ? "null" : item_json(column, item, style);
  }
  return out + ']';
}

}  // namespace switchback
