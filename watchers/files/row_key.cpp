#include "watchers/files/row_key.h"

#include <bit>
#include <cstring>

#include "state/base/error.h"

namespace switchback {
namespace {

template <class Number>
void append_number(Number value, std::string& out) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  out.append(raw, sizeof value);
}

template <class Number>
Number take_number(std::string_view& bytes) {
  if (bytes.size() < sizeof(Number)) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a stored key is too short");
  }
  Number value;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

}  // namespace

std::string row_bytes(const Chunk& chunk, std::span<const Cell> cells) {
  std::string out;
  for (const Cell& cell : cells) {
    out += static_cast<char>(cell.kind);
    if (has_text(cell.kind)) {
      append_number(cell.size, out);
      out += chunk.text(cell);
    } else {
      append_number(cell.i, out);
    }
  }
  return out;
}

std::string key_bytes(const Chunk& chunk, const Change& change, std::uint16_t key_width) {
  return row_bytes(chunk, chunk.row(change).first(key_width));
}

std::string no_key(std::uint16_t key_width) {
  Chunk nulls;
  for (std::uint16_t i = 0; i < key_width; ++i) nulls.add(Cell::null());
  nulls.end_delete({});
  return row_bytes(nulls, nulls.row(nulls.changes().front()));
}

Hash128 row_hash(const Chunk& chunk, const Change& change) {
  std::string bytes = row_bytes(chunk, chunk.row(change));
  bytes += static_cast<char>(change.op);
  if (change.op == Op::kMisfit) bytes += chunk.text(change.reason);
  return hash_of(bytes);
}

void add_cells(std::string_view bytes, Chunk& out) {
  while (!bytes.empty()) {
    const auto kind = static_cast<Kind>(take_number<std::uint8_t>(bytes));
    if (has_text(kind)) {
      const auto size = take_number<std::uint32_t>(bytes);
      if (size > bytes.size()) {
        throw Error(ErrorKind::kInternal, Retry::kNever, "a stored key is too short");
      }
      out.add(out.add_text(kind, bytes.substr(0, size)));
      bytes.remove_prefix(size);
      continue;
    }
    Cell cell = Cell::null();
    cell.kind = kind;
    cell.i = take_number<std::int64_t>(bytes);
    out.add(cell);
  }
}

}  // namespace switchback
