#include "watchers/sqlite/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "state/base/error.h"
#include "watchers/sqlite/row_query.h"

namespace switchback {
namespace {

ColumnMap column(PgType type, const char* type_name, std::int32_t modifier = -1,
                 std::vector<Spelling> spellings = {}) {
  ColumnMap map;
  map.old_name = map.name = "c";
  map.type = type;
  map.type_name = type_name;
  map.type_modifier = modifier;
  map.spellings = std::move(spellings);
  return map;
}

std::int32_t numeric(int precision, int scale) {
  return ((precision << 16) | (scale & 0x7FF)) + 4;
}

StoredValue text(std::string_view bytes) {
  return {SQLITE_TEXT, 0, 0, bytes};
}
StoredValue blob(std::string_view bytes) {
  return {SQLITE_BLOB, 0, 0, bytes};
}
StoredValue integer(std::int64_t value) {
  return {SQLITE_INTEGER, value, 0, {}};
}
StoredValue real(double value) {
  return {SQLITE_FLOAT, 0, value, {}};
}

/// The cell as text, or "!" and the reason why there is none.
std::string read(const ColumnMap& map, const StoredValue& value) {
  Chunk chunk;
  std::string why;
  const auto cell = read_cell(map, value, chunk, why);
  if (!cell) return "!" + why;
  switch (cell->kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return cell->i != 0 ? "true" : "false";
    case Kind::kInt:
    case Kind::kTimestamp:
    case Kind::kDate:
      return std::to_string(cell->i);
    case Kind::kReal:
      return std::to_string(cell->d);
    case Kind::kDecimal:
    case Kind::kText:
    case Kind::kBytes:
    case Kind::kJson:
    case Kind::kUuid:
      return std::string(chunk.text(*cell));
    case Kind::kUnchanged:
      break;
  }
  return "?";
}

bool refuses(const ColumnMap& map, const StoredValue& value) {
  return read(map, value).starts_with("!");
}

/// What is stored for the cell that `value` means, in the place of `previous`.
std::string write(const ColumnMap& map, const StoredValue& value, const StoredValue* previous) {
  Chunk chunk;
  std::string why, scratch;
  const auto cell = read_cell(map, value, chunk, why);
  if (!cell) return "!" + why;
  const StoredValue out = write_cell(map, *cell, chunk, previous, scratch);
  EXPECT_TRUE(same_meaning(map, out, *cell, chunk)) << "what was written means something else";
  switch (out.type) {
    case SQLITE_INTEGER:
      return "i" + std::to_string(out.integer);
    case SQLITE_FLOAT:
      return "f" + std::to_string(out.real);
    case SQLITE_TEXT:
      return "t" + std::string(out.bytes);
    case SQLITE_BLOB:
      return "b" + std::to_string(out.bytes.size());
    default:
      return "null";
  }
}

std::string write(const ColumnMap& map, const StoredValue& value, const StoredValue& previous) {
  return write(map, value, &previous);
}

TEST(SqliteCodec, Booleans) {
  const auto map = column(PgType::kBool, "boolean");
  for (const StoredValue& yes : {integer(1), real(1), text("true"), text("T"), text("1")}) {
    EXPECT_EQ(read(map, yes), "true");
  }
  for (const StoredValue& no : {integer(0), real(0), text("FALSE"), text("f"), text("0")}) {
    EXPECT_EQ(read(map, no), "false");
  }
  EXPECT_EQ(read(map, {}), "null");
  EXPECT_EQ(read(map, text("abc")), "!c: text 'abc' does not fit boolean");
  EXPECT_TRUE(refuses(map, integer(2)));
  EXPECT_TRUE(refuses(map, text("")));
  EXPECT_EQ(write(map, integer(1), nullptr), "i1");
  EXPECT_EQ(write(map, integer(0), text("true")), "tfalse");
  EXPECT_EQ(write(map, integer(0), text("True")), "tFalse");
  EXPECT_EQ(write(map, integer(1), text("F")), "tT");
  EXPECT_EQ(write(map, integer(1), text("junk")), "i1");
}

TEST(SqliteCodec, Integers) {
  const auto int2 = column(PgType::kInt2, "smallint"), int8 = column(PgType::kInt8, "bigint");
  EXPECT_EQ(read(int2, integer(-32768)), "-32768");
  EXPECT_TRUE(refuses(int2, integer(32768)));
  EXPECT_EQ(read(int8, text("-9223372036854775808")), "-9223372036854775808");
  EXPECT_EQ(read(int8, real(9007199254740993.0)), "9007199254740992");
  for (const StoredValue& odd :
       {text("9223372036854775808"), text("007"), text("1.0"), text(" 1"), text(""), text("-0"),
        real(1.5), real(9223372036854775808.0), blob("1"), text("+1")}) {
    EXPECT_TRUE(refuses(int8, odd));
  }
  EXPECT_EQ(write(int8, integer(5), text("4")), "t5");
  EXPECT_EQ(write(int8, integer(5), real(4)), "f5.000000");
  EXPECT_EQ(write(int8, integer(9007199254740993), real(4)), "i9007199254740993");
}

TEST(SqliteCodec, Reals) {
  const auto map = column(PgType::kFloat8, "double precision");
  const auto narrow = column(PgType::kFloat4, "real");
  EXPECT_EQ(read(map, integer(3)), "3.000000");
  EXPECT_TRUE(refuses(map, integer(9007199254740993)));
  EXPECT_EQ(read(map, text("NaN")), "nan");
  EXPECT_TRUE(refuses(map, text("abc")));
  EXPECT_EQ(write(map, text("NaN"), nullptr), "tNaN");
  EXPECT_EQ(write(map, real(2), integer(1)), "i2");
  EXPECT_EQ(write(map, real(2.5), integer(1)), "f2.500000");
  EXPECT_EQ(write(map, real(2.5), text("1")), "t2.5");
  EXPECT_EQ(write(map, real(-std::numeric_limits<double>::infinity()), nullptr), "f-inf");
  EXPECT_FALSE(refuses(narrow, real(0.1)));
  EXPECT_TRUE(refuses(narrow, real(0.123456789)));
  Chunk chunk;
  EXPECT_TRUE(same_meaning(narrow, real(0.1), Cell::real(static_cast<double>(0.1F)), chunk));
}

TEST(SqliteCodec, Decimals) {
  const auto any = column(PgType::kNumeric, "numeric");
  const auto money = column(PgType::kNumeric, "numeric(5,2)", numeric(5, 2));
  const auto thousands = column(PgType::kNumeric, "numeric(3,-3)", numeric(3, -3));
  EXPECT_EQ(read(any, integer(7)), "7");
  EXPECT_EQ(read(any, real(0.1)), "0.1");
  EXPECT_EQ(read(any, real(1e21)), "1000000000000000000000");
  EXPECT_EQ(read(any, text("1.50")), "1.50");
  EXPECT_EQ(read(any, text("1.5e3")), "1500");
  EXPECT_TRUE(refuses(any, real(std::numeric_limits<double>::infinity())));
  EXPECT_TRUE(refuses(any, text("12,5")));
  EXPECT_EQ(read(money, real(999.99)), "999.99");
  EXPECT_EQ(read(money, text("1.500")), "1.500");
  EXPECT_EQ(read(money, real(1.005)),
            "!c: real 1.005 does not fit numeric(5,2): it would be rounded");
  EXPECT_EQ(read(money, integer(1000)), "!c: integer 1000 does not fit numeric(5,2): out of range");
  EXPECT_EQ(read(thousands, integer(999'000)), "999000");
  EXPECT_TRUE(refuses(thousands, integer(999'001)));
  EXPECT_TRUE(refuses(thousands, integer(1'000'000)));
  EXPECT_EQ(write(any, integer(7), nullptr), "i7");
  EXPECT_EQ(write(any, text("7.0"), integer(1)), "i7");
  EXPECT_EQ(write(any, text("7.25"), integer(1)), "t7.25");
  EXPECT_EQ(write(any, text("7.25"), real(1)), "f7.250000");
  EXPECT_EQ(write(any, text("0.12345678901234567890"), real(1)), "t0.12345678901234567890");
  EXPECT_EQ(write(any, text("7.25"), text("1")), "t7.25");
}

TEST(SqliteCodec, Texts) {
  const auto map = column(PgType::kText, "text");
  const auto three = column(PgType::kVarchar, "character varying(3)", 7);
  const auto padded = column(PgType::kChar, "character(5)", 9);
  EXPECT_EQ(read(map, integer(42)), "42");
  EXPECT_EQ(read(map, real(1)), "1.0");
  EXPECT_EQ(read(map, real(0.1 + 0.2)), "0.30000000000000004");
  EXPECT_EQ(read(map, real(1e20)), "1.0e+20");
  EXPECT_TRUE(refuses(map, text("\xff")));
  EXPECT_TRUE(refuses(map, text(std::string_view("a\0b", 3))));
  EXPECT_TRUE(refuses(map, blob("abc")));
  EXPECT_EQ(read(three, text("äöü")), "äöü");
  EXPECT_TRUE(refuses(three, text("abcd")));
  EXPECT_EQ(read(padded, text("ab   ")), "ab");
  EXPECT_EQ(write(map, text("7"), integer(5)), "i7");
  EXPECT_EQ(write(map, text("07"), integer(5)), "t07");
  EXPECT_EQ(write(map, text("7"), text("x")), "t7");
  Chunk chunk;
  const Cell cell = chunk.add_text(Kind::kText, "ab   ");
  EXPECT_TRUE(same_meaning(padded, text("ab"), cell, chunk));
  EXPECT_FALSE(same_meaning(map, text("ab"), cell, chunk));
}

TEST(SqliteCodec, BytesAndUuids) {
  const auto bytes = column(PgType::kBytea, "bytea"), uuid = column(PgType::kUuid, "uuid");
  EXPECT_EQ(read(bytes, blob("\x01\xff")), "\x01\xff");
  EXPECT_EQ(write(bytes, blob("abc"), nullptr), "b3");
  EXPECT_EQ(write(bytes, blob(""), nullptr), "b0");
  EXPECT_EQ(write(bytes, blob("abc"), text("x")), "tabc");
  EXPECT_EQ(write(bytes, blob("\xff"), text("x")), "b1");
  const std::string id = "0af7651b-3c4d-4e5f-8a9b-0123456789ab";
  EXPECT_EQ(read(uuid, text("0AF7651B-3C4D-4E5F-8A9B-0123456789AB")), id);
  EXPECT_EQ(read(uuid, text("0af7651b3c4d4e5f8a9b0123456789ab")), id);
  EXPECT_TRUE(refuses(uuid, text("0af7651b-3c4d-4e5f-8a9b-0123456789ag")));
  EXPECT_TRUE(refuses(uuid, blob("short")));
  EXPECT_EQ(write(uuid, text(id), nullptr), "t" + id);
  EXPECT_EQ(write(uuid, text(id), blob("0123456789abcdef")), "b16");
  EXPECT_EQ(write(uuid, text(id), text("FFF7651B-3C4D-4E5F-8A9B-0123456789AB")),
            "t0AF7651B-3C4D-4E5F-8A9B-0123456789AB");
}

TEST(SqliteCodec, Json) {
  const auto jsonb = column(PgType::kJsonb, "jsonb"), json = column(PgType::kJson, "json");
  EXPECT_EQ(read(jsonb, text(R"({"b":1, "a":2})")), R"({"b":1, "a":2})");
  EXPECT_EQ(read(jsonb, integer(42)), "42");
  EXPECT_TRUE(refuses(jsonb, text("{oops")));
  EXPECT_TRUE(refuses(jsonb, blob("{}")));
  EXPECT_TRUE(refuses(jsonb, text(R"("\u0000")")));
  EXPECT_FALSE(refuses(json, text(R"("\u0000")")));
  Chunk chunk;
  const Cell cell = chunk.add_text(Kind::kJson, R"({"a": 2, "b": 1.0})");
  EXPECT_TRUE(same_meaning(jsonb, text(R"({"b":1,"a":2})"), cell, chunk));
  EXPECT_FALSE(same_meaning(jsonb, text(R"({"b":1,"a":3})"), cell, chunk));
}

TEST(SqliteCodec, TimestampsKeepTheirSpelling) {
  const auto map =
      column(PgType::kTimestamptz, "timestamptz", -1, {Spelling::kIsoMsZ, Spelling::kTwitter});
  const auto plain = column(PgType::kTimestamp, "timestamp");
  const auto counted = column(PgType::kTimestamptz, "timestamptz", -1, {Spelling::kUnixMs});
  const StoredValue moment = text("2024-11-25 01:23:24");
  EXPECT_EQ(read(map, moment), "1732497804000000");
  EXPECT_EQ(write(map, moment, nullptr), "t2024-11-25T01:23:24.000Z");
  EXPECT_EQ(write(map, moment, text("Mon Nov 25 01:23:20 +0000 2024")),
            "tMon Nov 25 01:23:24 +0000 2024");
  EXPECT_EQ(write(map, text("2024-11-25 01:23:24.5"), text("Mon Nov 25 01:23:20 +0000 2024")),
            "t2024-11-25T01:23:24.500Z");
  EXPECT_EQ(write(map, text("2024-11-25 01:23:24.000001"), nullptr), "t2024-11-25 01:23:24.000001");
  EXPECT_EQ(write(plain, moment, nullptr), "t2024-11-25 01:23:24");
  EXPECT_EQ(write(plain, moment, text("2020-01-01T00:00:00+02:00")), "t2024-11-25T03:23:24+02:00");
  EXPECT_TRUE(refuses(plain, integer(1732497804)));
  EXPECT_TRUE(refuses(plain, text("1732497804")));
  EXPECT_EQ(read(counted, integer(1732497804000)), "1732497804000000");
  EXPECT_EQ(write(counted, moment, integer(5)), "i1732497804000");
  EXPECT_EQ(write(counted, moment, nullptr), "i1732497804000");
  EXPECT_EQ(write(counted, text("2024-11-25 01:23:24.000001"), integer(5)),
            "t2024-11-25 01:23:24.000001");
  EXPECT_EQ(write(map, text("infinity"), nullptr), "tinfinity");
  Chunk chunk;
  std::string scratch;
  EXPECT_THROW(write_cell(map, Cell::timestamp(300'000'000'000'000'000), chunk, nullptr, scratch),
               Error);
}

TEST(SqliteCodec, Dates) {
  const auto map = column(PgType::kDate, "date");
  EXPECT_EQ(read(map, text("2024-11-25")), "20052");
  EXPECT_EQ(read(map, text("2024-11-25T00:00:00.000Z")), "20052");
  EXPECT_TRUE(refuses(map, text("2024-11-25T00:00:01.000Z")));
  EXPECT_EQ(write(map, text("2024-11-25"), nullptr), "t2024-11-25");
  EXPECT_EQ(write(map, text("2024-11-25"), text("2020-01-01T00:00:00.000Z")),
            "t2024-11-25T00:00:00.000Z");
}

TEST(SqliteCodec, NullsAndUnchanged) {
  const auto map = column(PgType::kInt4, "integer");
  Chunk chunk;
  std::string scratch;
  EXPECT_TRUE(same_meaning(map, {}, Cell::null(), chunk));
  EXPECT_FALSE(same_meaning(map, integer(0), Cell::null(), chunk));
  EXPECT_FALSE(same_meaning(map, {}, Cell::integer(0), chunk));
  EXPECT_TRUE(same_meaning(map, integer(0), Cell::unchanged(), chunk));
  EXPECT_EQ(write_cell(map, Cell::null(), chunk, nullptr, scratch).type, SQLITE_NULL);
  EXPECT_THROW(write_cell(map, Cell::unchanged(), chunk, nullptr, scratch), Error);
}

TEST(RowQuery, FindsAKeyInWhicheverFormItIsStored) {
  SQLite::Database db(":memory:", SQLite::OPEN_READWRITE);
  db.exec(
      "CREATE TABLE t(k PRIMARY KEY, v); INSERT INTO t VALUES (7, 1), ('8', 2), (NULL, 3),"
      "('2024-11-25T01:23:24.000Z', 4), ('Ab', 5), ('007', 6)");
  TableMap map;
  map.old_table = "t";
  map.key_width = 1;
  map.columns = {column(PgType::kInt8, "bigint"), column(PgType::kInt4, "integer")};
  map.columns[0].old_name = "k";
  map.columns[1].old_name = "v";
  const auto value_of = [&](PgType type, Cell cell, const Chunk& keys) {
    map.columns[0].type = type;
    RowQuery query(db, map);
    Chunk out;
    if (!query.append_current(std::span(&cell, 1), keys, out)) return std::int64_t{0};
    return out.row(out.changes()[0])[1].i;
  };
  Chunk keys;
  EXPECT_EQ(value_of(PgType::kInt8, Cell::integer(7), keys), 1);
  EXPECT_EQ(value_of(PgType::kInt8, Cell::integer(8), keys), 2);
  EXPECT_EQ(value_of(PgType::kInt8, Cell::integer(9), keys), 0);
  EXPECT_EQ(value_of(PgType::kTimestamptz, Cell::timestamp(1'732'497'804'000'000), keys), 4);
  EXPECT_EQ(value_of(PgType::kText, keys.add_text(Kind::kText, "Ab"), keys), 5);
  EXPECT_EQ(value_of(PgType::kText, keys.add_text(Kind::kText, "ab"), keys), 0);
  EXPECT_EQ(value_of(PgType::kText, keys.add_text(Kind::kText, "7"), keys), 1);
  EXPECT_EQ(value_of(PgType::kText, keys.add_text(Kind::kText, "007"), keys), 6);
}

}  // namespace
}  // namespace switchback
