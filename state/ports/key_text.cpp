#include <fmt/format.h>
#include <simdjson.h>

#include <charconv>
#include <optional>

#include "state/base/json_text.h"
#include "state/ports/change_sink.h"
#include "state/ports/endpoint.h"

namespace switchback {
namespace {

void append_hex(std::string& out, std::string_view bytes) {
  out += "\"\\\\x";
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  out += '"';
}

void append_cell(std::string& out, const Chunk& chunk, const Cell& cell) {
  switch (cell.kind) {
    case Kind::kNull:
    case Kind::kUnchanged:
      out += "null";
      return;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kTimestamp:
    case Kind::kDate:
      out += fmt::format("\"{}\"", cell.i);
      return;
    case Kind::kReal:
      out += fmt::format("\"{}\"", cell.d);
      return;
    case Kind::kBytes:
      append_hex(out, chunk.text(cell));
      return;
    case Kind::kDecimal:
    case Kind::kText:
    case Kind::kJson:
    case Kind::kUuid:
      append_json_string(out, chunk.text(cell));
      return;
  }
}

std::optional<Cell> parse_number(Kind kind, std::string_view text) {
  const char* const end = text.data() + text.size();
  if (kind == Kind::kReal) {
    double value = 0;
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    return code == std::errc() && stop == end ? std::optional(Cell::real(value)) : std::nullopt;
  }
  Cell cell = Cell::integer(0);
  cell.kind = kind;
  const auto [stop, code] = std::from_chars(text.data(), end, cell.i);
  return code == std::errc() && stop == end ? std::optional(cell) : std::nullopt;
}

std::optional<std::string> parse_hex(std::string_view text) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 2; i < text.size(); i += 2) {
    unsigned char byte = 0;
    const auto [stop, code] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    if (code != std::errc() || stop != text.data() + i + 2) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

// A source's value that is none of its column's kind travels as text, and its key so, too.
Cell parse_cell(Kind kind, std::string_view text, Chunk& out) {
  switch (kind) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kTimestamp:
    case Kind::kDate:
    case Kind::kReal:
      if (const auto number = parse_number(kind, text)) return *number;
      break;
    case Kind::kBytes:
      if (const auto bytes = parse_hex(text)) return out.add_text(Kind::kBytes, *bytes);
      break;
    case Kind::kNull:
    case Kind::kUnchanged:
      break;
    case Kind::kDecimal:
    case Kind::kText:
    case Kind::kJson:
    case Kind::kUuid:
      return out.add_text(kind, text);
  }
  return out.add_text(Kind::kText, text);
}

}  // namespace

std::string key_text(const Chunk& chunk, std::span<const Cell> key) {
  std::string out = "[";
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (i != 0) out += ',';
    append_cell(out, chunk, key[i]);
  }
  return out + "]";
}

std::string qualified_name(const TableMap& table) {
  return table.schema + "." + table.table;
}

std::optional<TableId> find_qualified(const Mapping& mapping, std::string_view name) {
  for (const TableMap& table : mapping.tables) {
    if (qualified_name(table) == name) return table.id;
  }
  return std::nullopt;
}

bool add_key_of(const TableMap& table, std::string_view key, Chunk& out) {
  simdjson::dom::parser parser;
  simdjson::dom::array cells;
  if (parser.parse(key.data(), key.size()).get(cells)) return false;
  if (cells.size() != table.key_width) return false;
  std::size_t column = 0;
  for (const simdjson::dom::element cell : cells) {
    const Kind kind = kind_of(table.columns[column++].type);
    std::string_view text;
    out.add(cell.get(text) ? Cell::null() : parse_cell(kind, text, out));
  }
  out.end_delete(table.id);
  return true;
}

}  // namespace switchback
