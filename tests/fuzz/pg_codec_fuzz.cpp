// Any bytes are a value of a column's type or an Error(kData); and a value that was read is written
// back as bytes that read as the same value. Text forms are taken as the server spells them, so one
// that it never sends ("00" for a NUMERIC) may be read back as spelled properly.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "replication/codec.h"
#include "state/base/error.h"

namespace switchback {
namespace {

bool same(const Cell& a, const Chunk& of_a, const Cell& b, const Chunk& of_b) {
  if (a.kind != b.kind) return false;
  return has_text(a.kind) ? of_a.text(a) == of_b.text(b) : a.i == b.i;
}

enum class Form { kBinary, kText };

void round_trip(const ColumnMap& column, Form from, const Cell& cell, const Chunk& chunk) {
  if (cell.kind == Kind::kNull || cell.kind == Kind::kUnchanged) std::abort();
  std::string bytes;
  encode_binary(column, cell, has_text(cell.kind) ? chunk.text(cell) : std::string_view(), bytes);
  Chunk again;
  const Cell back = decode_binary(column, bytes, again);
  if (from == Form::kText && has_text(cell.kind)) return;
  if (!same(cell, chunk, back, again)) std::abort();
}

void read_binary(const ColumnMap& column, std::string_view bytes) {
  Chunk chunk;
  Cell cell;
  try {
    cell = decode_binary(column, bytes, chunk);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) std::abort();
    return;
  }
  round_trip(column, Form::kBinary, cell, chunk);  // a throw from here ends the fuzzer: a finding
}

void read_text(const ColumnMap& column, std::string_view text) {
  try {
    Chunk chunk;
    const Cell cell = decode_text(column, text, chunk);
    round_trip(column, Form::kText, cell, chunk);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) std::abort();
  }
}

}  // namespace
}  // namespace switchback

// The first byte says the type and the form, the second and third a length or precision.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchback;
  if (size < 3) return 0;
  ColumnMap column;
  column.name = "c";
  column.type_name = "type";
  column.type = static_cast<PgType>((data[0] >> 1) % (static_cast<int>(PgType::kOtherText) + 1));
  column.type_modifier = data[1] == 0 ? -1 : 4 + data[2] + (data[1] << 16);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  if ((data[0] & 1) != 0) {
    read_binary(column, bytes);
  } else {
    read_text(column, bytes);
  }
  return 0;
}
