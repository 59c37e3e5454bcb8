#include "state/model/meaning.h"

#include <bit>
#include <cmath>
#include <limits>

#include "state/base/decimal.h"
#include "state/base/json_meaning.h"

namespace switchback {
namespace {

bool decimal_same(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const auto x = parse_decimal(a), y = parse_decimal(b);
  return x && y && *x == *y;
}

std::string_view without_padding(std::string_view text) {
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

void append_number(std::uint64_t number, std::string& out) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void append_sized(std::string_view text, std::string& out) {
  append_number(text.size(), out);
  out += text;
}

/// Bits that are equal for every NaN, and different for the two zeros.
std::uint64_t real_bits(double value) {
  return std::bit_cast<std::uint64_t>(std::isnan(value) ? std::numeric_limits<double>::quiet_NaN()
                                                        : value);
}

}  // namespace

bool cells_same(const ColumnMap& column, const Cell& stored, const Chunk& own, const Cell& cell,
                const Chunk& chunk) {
  if (stored.kind != cell.kind) return false;
  switch (cell.kind) {
    case Kind::kNull:
    case Kind::kUnchanged:
      return true;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kTimestamp:
    case Kind::kDate:
      return stored.i == cell.i;
    case Kind::kReal:
      return real_bits(stored.d) == real_bits(cell.d);
    case Kind::kDecimal:
      return decimal_same(own.text(stored), chunk.text(cell));
    case Kind::kJson:
      return json_same(own.text(stored), chunk.text(cell));
    case Kind::kText:
      if (column.type == PgType::kChar) {
        return without_padding(own.text(stored)) == without_padding(chunk.text(cell));
      }
      return own.text(stored) == chunk.text(cell);
    case Kind::kBytes:
    case Kind::kUuid:
      return own.text(stored) == chunk.text(cell);
  }
  return false;
}

void append_meaning(const ColumnMap& column, const Cell& cell, const Chunk& chunk,
                    std::string& out) {
  out += static_cast<char>(cell.kind);
  switch (cell.kind) {
    case Kind::kNull:
    case Kind::kUnchanged:
      return;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kTimestamp:
    case Kind::kDate:
      append_number(static_cast<std::uint64_t>(cell.i), out);
      return;
    case Kind::kReal:
      append_number(real_bits(cell.d), out);
      return;
    case Kind::kDecimal:
      append_decimal_meaning(chunk.text(cell), out);
      return;
    case Kind::kJson:
      append_json_meaning(chunk.text(cell), out);
      return;
    case Kind::kText:
      append_sized(
          column.type == PgType::kChar ? without_padding(chunk.text(cell)) : chunk.text(cell), out);
      return;
    case Kind::kBytes:
    case Kind::kUuid:
      append_sized(chunk.text(cell), out);
      return;
  }
}

Hash128 RowHasher::key(std::span<const Cell> row, const Chunk& chunk) {
  scratch_.clear();
  for (std::uint16_t i = 0; i < map_.key_width; ++i) {
    append_meaning(map_.columns[i], row[i], chunk, scratch_);
  }
  return hash_of(scratch_);
}

Hash128 RowHasher::row(std::span<const Cell> row, const Chunk& chunk) {
  scratch_.clear();
  for (const std::uint16_t i : columns_) {
    append_meaning(map_.columns[i], row[i], chunk, scratch_);
  }
  return hash_of(scratch_);
}

}  // namespace switchback
