#include "replication/codec.h"

#include <bit>
#include <cmath>
#include <limits>

#include "replication/numeric_codec.h"
#include "replication/wire.h"
#include "state/base/error.h"

namespace switchback {
namespace {

// Between 1970-01-01, where canonical time starts, and 2000-01-01, where PostgreSQL's does.
constexpr std::int64_t kEpochDays = 10957;
constexpr std::int64_t kEpochMicros = kEpochDays * 86'400 * 1'000'000;
constexpr char kJsonbVersion = 1;
constexpr std::size_t kUuidBytes = 16;

[[noreturn]] void refuse(const ColumnMap& column, const std::string& why) {
  throw Error(ErrorKind::kData, Retry::kNever, why,
              {.object = "column " + column.name, .sqlstate = {}, .next = {}});
}

template <std::integral T>
void encode_int(const ColumnMap& column, std::int64_t value, std::string& out) {
  if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) {
    refuse(column, std::to_string(value) + " is out of range for " + column.type_name);
  }
  append_big_endian(out, static_cast<T>(value));
}

void encode_float4(const ColumnMap& column, double value, std::string& out) {
  const auto narrow = static_cast<float>(value);
  if (std::isinf(narrow) && !std::isinf(value)) {
    refuse(column, std::to_string(value) + " is out of range for " + column.type_name);
  }
  append_big_endian(out, std::bit_cast<std::uint32_t>(narrow));
}

void encode_timestamp(const ColumnMap& column, std::int64_t micros, std::string& out) {
  if (micros == kPlusInfinity || micros == kMinusInfinity) {
    append_big_endian(out, micros);
    return;
  }
  // Keeps clear of the two infinities as well.
  if (micros <= kMinusInfinity + kEpochMicros) refuse(column, "a timestamp out of range");
  append_big_endian(out, micros - kEpochMicros);
}

void encode_date(const ColumnMap& column, std::int64_t days, std::string& out) {
  constexpr std::int32_t kLast = std::numeric_limits<std::int32_t>::max();
  constexpr std::int32_t kFirst = std::numeric_limits<std::int32_t>::min();
  if (days == kPlusInfinity || days == kMinusInfinity) {
    append_big_endian(out, days == kPlusInfinity ? kLast : kFirst);
    return;
  }
  if (days - kEpochDays >= kLast || days <= kFirst + kEpochDays) {
    refuse(column, "a date out of range");
  }
  append_big_endian(out, static_cast<std::int32_t>(days - kEpochDays));
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Appends the bytes that pairs of hex digits spell; false if `hex` is no such text.
bool append_unhexed(std::string_view hex, std::string& out) {
  if (hex.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = hex_digit(hex[i]);
    const int low = hex_digit(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high * 16 + low);
  }
  return true;
}

void encode_uuid(const ColumnMap& column, std::string_view text, std::string& out) {
  std::string hex;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hyphen_place = i == 8 || i == 13 || i == 18 || i == 23;
    if ((text[i] == '-') != hyphen_place) refuse(column, "text that is no UUID");
    if (!hyphen_place) hex += text[i];
  }
  std::string bytes;
  if (text.size() != 36 || !append_unhexed(hex, bytes)) refuse(column, "text that is no UUID");
  out += bytes;
}

void refuse_nul(const ColumnMap& column, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    refuse(column, "text with a NUL character, which PostgreSQL cannot hold");
  }
}

void encode_text(const ColumnMap& column, std::string_view text, std::string& out) {
  refuse_nul(column, text);
  out += text;
}

// No server of ours sends a NUL; bytes that hold one are no text, and no sink could write them.
Cell decode_characters(const ColumnMap& column, Kind kind, std::string_view text, Chunk& out) {
  refuse_nul(column, text);
  return out.add_text(kind, text);
}

Cell decode_uuid(std::string_view bytes, Chunk& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(bytes[i]);
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return out.add_text(Kind::kUuid, text);
}

Cell decode_timestamp(const ColumnMap& column, std::int64_t micros) {
  if (micros == kPlusInfinity || micros == kMinusInfinity) return Cell::timestamp(micros);
  if (micros >= kPlusInfinity - kEpochMicros) refuse(column, "a timestamp out of range");
  return Cell::timestamp(micros + kEpochMicros);
}

Cell decode_date(std::int32_t days) {
  if (days == std::numeric_limits<std::int32_t>::max()) return Cell::date(kPlusInfinity);
  if (days == std::numeric_limits<std::int32_t>::min()) return Cell::date(kMinusInfinity);
  return Cell::date(days + kEpochDays);
}

void expect_size(const ColumnMap& column, std::string_view bytes, std::size_t size) {
  if (bytes.size() != size) {
    refuse(column,
           "a binary value of " + std::to_string(bytes.size()) + " bytes for " + column.type_name);
  }
}

}  // namespace

void encode_binary(const ColumnMap& column, const Cell& cell, std::string_view text,
                   std::string& out) {
  if (cell.kind != kind_of(column.type)) {
    refuse(column,
           "a value of kind " + std::string(to_string(cell.kind)) + " for " + column.type_name);
  }
  switch (column.type) {
    case PgType::kBool:
      out += static_cast<char>(cell.i != 0);
      return;
    case PgType::kInt2:
      encode_int<std::int16_t>(column, cell.i, out);
      return;
    case PgType::kInt4:
      encode_int<std::int32_t>(column, cell.i, out);
      return;
    case PgType::kInt8:
      append_big_endian(out, cell.i);
      return;
    case PgType::kFloat4:
      encode_float4(column, cell.d, out);
      return;
    case PgType::kFloat8:
      append_big_endian(out, std::bit_cast<std::uint64_t>(cell.d));
      return;
    case PgType::kNumeric:
      encode_numeric(text, out);
      return;
    case PgType::kText:
    case PgType::kVarchar:
    case PgType::kChar:
    case PgType::kOtherText:
    case PgType::kJson:
      encode_text(column, text, out);
      return;
    case PgType::kJsonb:
      out += kJsonbVersion;
      encode_text(column, text, out);
      return;
    case PgType::kBytea:
      out += text;
      return;
    case PgType::kTimestamp:
    case PgType::kTimestamptz:
      encode_timestamp(column, cell.i, out);
      return;
    case PgType::kDate:
      encode_date(column, cell.i, out);
      return;
    case PgType::kUuid:
      encode_uuid(column, text, out);
      return;
  }
}

Cell decode_binary(const ColumnMap& column, std::string_view bytes, Chunk& out) {
  switch (column.type) {
    case PgType::kBool:
      expect_size(column, bytes, 1);
      if (bytes[0] != 0 && bytes[0] != 1) refuse(column, "a BOOLEAN that is neither 0 nor 1");
      return Cell::boolean(bytes[0] == 1);
    case PgType::kInt2:
      expect_size(column, bytes, 2);
      return Cell::integer(read_big_endian<std::int16_t>(bytes));
    case PgType::kInt4:
      expect_size(column, bytes, 4);
      return Cell::integer(read_big_endian<std::int32_t>(bytes));
    case PgType::kInt8:
      expect_size(column, bytes, 8);
      return Cell::integer(read_big_endian<std::int64_t>(bytes));
    case PgType::kFloat4:
      expect_size(column, bytes, 4);
      return Cell::real(std::bit_cast<float>(read_big_endian<std::uint32_t>(bytes)));
    case PgType::kFloat8:
      expect_size(column, bytes, 8);
      return Cell::real(std::bit_cast<double>(read_big_endian<std::uint64_t>(bytes)));
    case PgType::kNumeric:
      return out.add_text(Kind::kDecimal, decode_numeric(bytes));
    case PgType::kText:
    case PgType::kVarchar:
    case PgType::kChar:
    case PgType::kOtherText:
      return decode_characters(column, Kind::kText, bytes, out);
    case PgType::kJson:
      return decode_characters(column, Kind::kJson, bytes, out);
    case PgType::kJsonb:
      if (!bytes.starts_with(kJsonbVersion)) refuse(column, "a JSONB value of an unknown version");
      return decode_characters(column, Kind::kJson, bytes.substr(1), out);
    case PgType::kBytea:
      return out.add_text(Kind::kBytes, bytes);
    case PgType::kTimestamp:
    case PgType::kTimestamptz:
      expect_size(column, bytes, 8);
      return decode_timestamp(column, read_big_endian<std::int64_t>(bytes));
    case PgType::kDate:
      expect_size(column, bytes, 4);
      return decode_date(read_big_endian<std::int32_t>(bytes));
    case PgType::kUuid:
      expect_size(column, bytes, kUuidBytes);
      return decode_uuid(bytes, out);
  }
  refuse(column, "a column type that the codec does not know");
}

std::uint32_t type_oid(PgType type) noexcept {
  switch (type) {
    case PgType::kBool:
      return 16;
    case PgType::kInt2:
      return 21;
    case PgType::kInt4:
      return 23;
    case PgType::kInt8:
      return 20;
    case PgType::kFloat4:
      return 700;
    case PgType::kFloat8:
      return 701;
    case PgType::kNumeric:
      return 1700;
    case PgType::kText:
    case PgType::kOtherText:
      return 25;
    case PgType::kVarchar:
      return 1043;
    case PgType::kChar:
      return 1042;
    case PgType::kBytea:
      return 17;
    case PgType::kJson:
      return 114;
    case PgType::kJsonb:
      return 3802;
    case PgType::kTimestamp:
      return 1114;
    case PgType::kTimestamptz:
      return 1184;
    case PgType::kDate:
      return 1082;
    case PgType::kUuid:
      return 2950;
  }
  return 25;
}

std::uint32_t array_oid(PgType type) noexcept {
  switch (type) {
    case PgType::kBool:
      return 1000;
    case PgType::kInt2:
      return 1005;
    case PgType::kInt4:
      return 1007;
    case PgType::kInt8:
      return 1016;
    case PgType::kFloat4:
      return 1021;
    case PgType::kFloat8:
      return 1022;
    case PgType::kNumeric:
      return 1231;
    case PgType::kText:
    case PgType::kOtherText:
      return 1009;
    case PgType::kVarchar:
      return 1015;
    case PgType::kChar:
      return 1014;
    case PgType::kBytea:
      return 1001;
    case PgType::kJson:
      return 199;
    case PgType::kJsonb:
      return 3807;
    case PgType::kTimestamp:
      return 1115;
    case PgType::kTimestamptz:
      return 1185;
    case PgType::kDate:
      return 1182;
    case PgType::kUuid:
      return 2951;
  }
  return 1009;
}

}  // namespace switchback
