#include "watchers/files/json_cell.h"

#include <fmt/format.h>

#include <cmath>

#include "state/base/decimal.h"
#include "state/base/error.h"
#include "state/base/json_meaning.h"
#include "watchers/files/text_array.h"
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/value_text.h"

namespace switchback {
namespace {

using Node = Document::Node;
using MaybeCell = std::optional<Cell>;

StoredValue integer_value(std::int64_t value) {
  StoredValue out;
  out.type = SQLITE_INTEGER;
  out.integer = value;
  return out;
}

StoredValue text_value(std::string_view text) {
  StoredValue out;
  out.type = SQLITE_TEXT;
  out.bytes = text;
  return out;
}

bool takes_text(const ColumnMap& column) {
  return kind_of(column.type) == Kind::kText;
}

std::string_view sort_word(JsonSort sort) {
  switch (sort) {
    case JsonSort::kNull:
      return "null";
    case JsonSort::kTrue:
      return "true";
    case JsonSort::kFalse:
      return "false";
    case JsonSort::kNumber:
      return "a number";
    case JsonSort::kString:
      return "a string";
    case JsonSort::kArray:
      return "an array";
    case JsonSort::kObject:
      return "an object";
  }
  return "a value";
}

MaybeCell misfit(const ColumnMap& column, std::string_view what, std::string_view because,
                 std::string& why) {
  why = fmt::format("{}: {} does not fit {}{}{}", column.name, what, column.type_name,
                    because.empty() ? "" : ": ", because);
  return std::nullopt;
}

MaybeCell json_cell(const ColumnMap& column, std::string_view json, std::string_view what,
                    Chunk& out, std::string& why) {
  const auto flavour = column.type == PgType::kJsonb ? JsonFlavour::kJsonb : JsonFlavour::kJson;
  if (const auto refusal = json_refusal(json, flavour)) return misfit(column, what, *refusal, why);
  return out.add_text(Kind::kJson, json);
}

MaybeCell number_cell(const ColumnMap& column, std::string_view token, Chunk& out,
                      std::string& why) {
  if (takes_text(column) || kind_of(column.type) == Kind::kDecimal) {
    return read_cell(column, text_value(token), out, why);
  }
  if (const auto number = parse_decimal(token); number && number->integral()) {
    // 1.0 and 1e2 are integers too. What has too many digits for one stays text and is refused, or
    // read as the real it is.
    const bool short_enough = number->exponent < 20;
    const auto integer = short_enough ? parse_integer(to_plain(*number)) : std::nullopt;
    const bool minus_zero = number->zero() && token.starts_with('-');
    if (integer && !(minus_zero && kind_of(column.type) == Kind::kReal)) {
      return read_cell(column, integer_value(*integer), out, why);
    }
  }
  if (kind_of(column.type) == Kind::kTimestamp) {
    StoredValue real;
    real.type = SQLITE_FLOAT;
    real.real = parse_real(token).value_or(0);
    return read_cell(column, real, out, why);
  }
  return read_cell(column, text_value(token), out, why);
}

MaybeCell bool_cell(const ColumnMap& column, bool value, Chunk& out, std::string& why) {
  const std::string_view word = value ? "true" : "false";
  if (kind_of(column.type) == Kind::kBool) return Cell::boolean(value);
  if (takes_text(column)) return read_cell(column, text_value(word), out, why);
  return misfit(column, word, {}, why);
}

MaybeCell container_cell(const ColumnMap& column, const Document& document, Node node, Chunk& out,
                         std::string& why) {
  const std::string json = document.compact(node);
  if (is_text_array(column)) {
    const auto literal = array_literal(document, node);
    if (!literal) return misfit(column, sort_word(document.sort(node)), "not a plain list", why);
    return out.add_text(Kind::kText, *literal);
  }
  if (takes_text(column)) return read_cell(column, text_value(json), out, why);
  return misfit(column, sort_word(document.sort(node)), {}, why);
}

MaybeCell scalar_or_container(const ColumnMap& column, const Document& document, Node node,
                              Chunk& out, std::string& why) {
  switch (document.sort(node)) {
    case JsonSort::kNull:
      return Cell::null();
    case JsonSort::kTrue:
    case JsonSort::kFalse:
      return bool_cell(column, document.sort(node) == JsonSort::kTrue, out, why);
    case JsonSort::kNumber:
      return number_cell(column, document.raw(node), out, why);
    case JsonSort::kString:
      return read_cell(column, text_value(document.string(node)), out, why);
    case JsonSort::kArray:
    case JsonSort::kObject:
      return container_cell(column, document, node, out, why);
  }
  return std::nullopt;
}

/// What the codec of stored values calls the value that is replaced.
struct Previous {
  StoredValue value;
  std::string text;
  Previous(const Document& document, Node node) {
    if (document.sort(node) == JsonSort::kString) {
      text = document.string(node);
      value = text_value(text);
    } else if (document.sort(node) == JsonSort::kNumber) {
      const auto integer = parse_integer(document.raw(node));
      if (integer) {
        value = integer_value(*integer);
      } else {
        value.type = SQLITE_FLOAT;
        value.real = parse_real(document.raw(node)).value_or(0);
      }
    }
  }
};

/// Digits of a fraction of a second: as many as before where they are enough, else three or six,
/// which is all that some readers take.
void pad_fraction(std::string& text, const std::string& before) {
  constexpr std::size_t kPoint = 19;
  const auto digits = [](std::string_view t) {
    if (t.size() <= kPoint || t[kPoint] != '.') return std::size_t{0};
    const std::size_t end = std::min(t.find_first_not_of("0123456789", kPoint + 1), t.size());
    return end - kPoint - 1;
  };
  const std::size_t has = digits(text), had = digits(before);
  if (has == 0) return;
  const std::size_t wanted = had >= has ? had : has <= 3 && had == 3 ? 3 : 6;
  if (wanted > has) text.insert(kPoint + 1 + has, wanted - has, '0');
}

std::string dated(const ColumnMap& column, const Cell& cell, const Chunk& chunk,
                  const Document* document, std::optional<Node> previous, const TextStyle& style) {
  ColumnMap as = column;
  if (as.spellings.empty()) as.spellings = {Spelling::kIsoMsZ, Spelling::kIso};
  std::optional<Previous> old;
  if (previous) old.emplace(*document, *previous);
  const bool known = old && old->value.type != SQLITE_NULL;
  std::string scratch;
  const StoredValue value = write_cell(as, cell, chunk, known ? &old->value : nullptr, scratch);
  if (value.type == SQLITE_INTEGER) return std::to_string(value.integer);
  if (value.type == SQLITE_FLOAT) return shortest_text(value.real);
  std::string text(value.bytes);
  if (cell.kind == Kind::kTimestamp) pad_fraction(text, known ? old->text : std::string());
  return style.quote(text);
}

bool is_json_number(std::string_view text) {
  if (text.empty() || !parse_decimal(text) || text.front() == '+') return false;
  return !json_refusal(text, JsonFlavour::kJson);
}

std::string text_json(const ColumnMap& column, std::string_view text, const Document* document,
                      std::optional<Node> previous, const TextStyle& style) {
  if (is_text_array(column)) {
    if (auto json = json_of_array_literal(column, text, style)) return *json;
  }
  if (previous) {
    switch (document->sort(*previous)) {
      case JsonSort::kNumber:
        if (is_json_number(text)) return std::string(text);
        break;
      case JsonSort::kTrue:
      case JsonSort::kFalse:
        if (text == "true" || text == "false") return std::string(text);
        break;
      case JsonSort::kArray:
      case JsonSort::kObject:
        if ((text.starts_with('{') || text.starts_with('[')) &&
            !json_refusal(text, JsonFlavour::kJson)) {
          return std::string(text);
        }
        break;
      case JsonSort::kNull:
      case JsonSort::kString:
        break;
    }
  }
  return style.quote(text);
}

std::string real_json(const ColumnMap& column, double value, bool quoted, bool pointed,
                      const TextStyle& style) {
  if (std::isnan(value)) return style.quote("NaN");
  if (std::isinf(value)) return style.quote(value > 0 ? "Infinity" : "-Infinity");
  std::string text = column.type == PgType::kFloat4 ? shortest_text(static_cast<float>(value))
                                                    : shortest_text(value);
  if (pointed && text.find('.') == text.npos) text += ".0";
  return quoted ? style.quote(text) : text;
}

}  // namespace

std::optional<Cell> cell_of(const ColumnMap& column, const ColumnSource& source,
                            const Document& document, Document::Node node, Chunk& out,
                            std::string& why) {
  MaybeCell cell;
  const JsonSort sort = document.sort(node);
  if (source.json_in_text && sort != JsonSort::kNull) {
    cell = sort == JsonSort::kString
               ? json_cell(column, document.string(node), "the text", out, why)
               : misfit(column, sort_word(sort), "a string that holds JSON was expected", why);
  } else if (kind_of(column.type) == Kind::kJson && sort != JsonSort::kNull) {
    cell = json_cell(column, document.compact(node), sort_word(sort), out, why);
  } else {
    cell = scalar_or_container(column, document, node, out, why);
  }
  if (!cell) why = document.place(node) + ": " + why;
  return cell;
}

std::optional<Cell> cell_of_text(const ColumnMap& column, std::string_view text, Chunk& out,
                                 std::string& why) {
  if (kind_of(column.type) == Kind::kJson) {
    return json_cell(column, TextStyle().quote(text), "the text", out, why);
  }
  return read_cell(column, text_value(text), out, why);
}

bool same_cell(const ColumnMap& column, const Cell& a, const Chunk& of_a, const Cell& b,
               const Chunk& of_b) {
  return cells_same(column, a, of_a, b, of_b);
}

std::string json_of(const ColumnMap& column, const ColumnSource& source, const Cell& cell,
                    const Chunk& chunk, const Document* document,
                    std::optional<Document::Node> previous, const TextStyle& style) {
  const JsonSort was = previous ? document->sort(*previous) : JsonSort::kNull;
  const bool quoted = was == JsonSort::kString;
  const auto maybe_quoted = [&](std::string text) { return quoted ? style.quote(text) : text; };
  switch (cell.kind) {
    case Kind::kBool:
      if (was == JsonSort::kNumber) return cell.i != 0 ? "1" : "0";
      return maybe_quoted(cell.i != 0 ? "true" : "false");
    case Kind::kInt:
      return maybe_quoted(std::to_string(cell.i));
    case Kind::kReal: {
      const bool pointed =
          was == JsonSort::kNumber && document->raw(*previous).find('.') != std::string_view::npos;
      return real_json(column, cell.d, quoted, pointed, style);
    }
    case Kind::kDecimal: {
      const std::string_view text = chunk.text(cell);
      return text == "NaN" ? style.quote(text) : maybe_quoted(std::string(text));
    }
    case Kind::kText:
      return text_json(column, chunk.text(cell), document, previous, style);
    case Kind::kBytes:
      if (!is_clean_text(chunk.text(cell))) {
        throw Error(ErrorKind::kData, Retry::kNever,
                    column.name + ": bytes that are no text have no form in JSON");
      }
      return style.quote(chunk.text(cell));
    case Kind::kJson:
      return source.json_in_text ? style.quote(chunk.text(cell)) : std::string(chunk.text(cell));
    case Kind::kTimestamp:
    case Kind::kDate:
    case Kind::kUuid:
      return dated(column, cell, chunk, document, previous, style);
    case Kind::kNull:
    case Kind::kUnchanged:
      break;
  }
  throw Error(ErrorKind::kInternal, Retry::kNever, "no value was to be written",
              {.object = column.name});
}

}  // namespace switchback
