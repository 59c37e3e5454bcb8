#include <fmt/format.h>

#include "state/base/json_text.h"
#include "state/ports/change_sink.h"

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

}  // namespace

std::string key_text(const Chunk& chunk, std::span<const Cell> key) {
  std::string out = "[";
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (i != 0) out += ',';
    append_cell(out, chunk, key[i]);
  }
  return out + "]";
}

}  // namespace switchback
