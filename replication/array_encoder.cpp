#include "replication/array_encoder.h"

#include <climits>

#include "replication/codec.h"
#include "replication/wire.h"
#include "state/base/error.h"

namespace switchback {
namespace {

// int32 dimensions, int32 "has nulls", OID of the elements, int32 length, int32 lower bound.
constexpr std::size_t kHasNullAt = 4;
constexpr std::size_t kLengthAt = 12;
constexpr std::size_t kNullLength = 4;

}  // namespace

void ArrayParameters::begin(std::span<const ColumnMap* const> columns) {
  columns_.assign(columns.begin(), columns.end());
  if (arrays_.size() < columns.size()) arrays_.resize(columns.size());
  rows_ = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    std::string& bytes = arrays_[i].bytes;
    bytes.clear();
    arrays_[i].has_null = false;
    append_big_endian<std::int32_t>(bytes, 1);
    append_big_endian<std::int32_t>(bytes, 0);
    append_big_endian<std::uint32_t>(bytes, type_oid(columns[i]->type));
    append_big_endian<std::int32_t>(bytes, 0);
    append_big_endian<std::int32_t>(bytes, 1);
  }
}

void ArrayParameters::add_cell(std::size_t column, const Cell& cell, const Chunk& chunk) {
  Array& array = arrays_[column];
  const std::size_t at = array.bytes.size();
  append_big_endian<std::int32_t>(array.bytes, -1);
  if (cell.kind == Kind::kNull) {
    array.has_null = true;
    return;
  }
  const std::string_view text = has_text(cell.kind) ? chunk.text(cell) : std::string_view();
  encode_binary(*columns_[column], cell, text, array.bytes);
  if (array.bytes.size() > INT_MAX) {
    throw Error(ErrorKind::kData, Retry::kNever, "a value larger than PostgreSQL takes");
  }
  put_big_endian(array.bytes, at, static_cast<std::int32_t>(array.bytes.size() - at - kNullLength));
}

void ArrayParameters::add_row(std::span<const Cell> cells, const Chunk& chunk) {
  sizes_.clear();
  for (std::size_t i = 0; i < columns_.size(); ++i) sizes_.push_back(arrays_[i].bytes.size());
  try {
    for (std::size_t i = 0; i < columns_.size(); ++i) add_cell(i, cells[i], chunk);
  } catch (...) {
    // A stray "has nulls" does no harm: the server only takes it as permission.
    for (std::size_t i = 0; i < columns_.size(); ++i) arrays_[i].bytes.resize(sizes_[i]);
    throw;
  }
  ++rows_;
}

void ArrayParameters::finish() {
  values_.clear();
  lengths_.clear();
  formats_.assign(columns_.size(), 1);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    Array& array = arrays_[i];
    put_big_endian<std::int32_t>(array.bytes, kHasNullAt, array.has_null ? 1 : 0);
    put_big_endian<std::int32_t>(array.bytes, kLengthAt, static_cast<std::int32_t>(rows_));
    values_.push_back(array.bytes.data());
    lengths_.push_back(static_cast<int>(array.bytes.size()));
  }
}

}  // namespace switchback
