// What columns make of values on the way back: each value is stored such that it still means what
// it means in PostgreSQL, or is refused with a reason.
#include "watchers/sqlite/affinity.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "watchers/sqlite/row_writer.h"

namespace switchback {
namespace {

using MakeCell = std::function<Cell(Chunk&)>;

MakeCell text_cell(Kind kind, const char* value) {
  return [=](Chunk& chunk) { return chunk.add_text(kind, value); };
}
MakeCell text_cell(const char* value) {
  return text_cell(Kind::kText, value);
}
MakeCell real_cell(double value) {
  return [=](Chunk&) { return Cell::real(value); };
}
MakeCell integer_cell(std::int64_t value) {
  return [=](Chunk&) { return Cell::integer(value); };
}

struct Table {
  Table(const std::string& key_type, const std::string& value_type, PgType key, PgType value)
      : database(":memory:", SQLite::OPEN_READWRITE) {
    database.exec(fmt::format("CREATE TABLE t(k {}, v {})", key_type, value_type));
    map.old_table = map.table = "t";
    for (const char* name : {"k", "v"}) {
      ColumnMap& column = map.columns.emplace_back();
      column.old_name = column.name = name;
      column.type = name[0] == 'k' ? key : value;
      column.type_name = "its type";
    }
    map.columns[1].spellings = {Spelling::kUnix};
    map.key_width = 1;
  }

  std::string ask(const std::string& sql) {
    SQLite::Statement query(database, sql);
    std::string out;
    while (query.executeStep()) out += (out.empty() ? "" : ", ") + query.getColumn(0).getString();
    return out;
  }

  SQLite::Database database;
  TableMap map;
};

/// The stored value as "type:literal", or "!reason". `previous` is what the row holds before.
std::string write(PgType type, const std::string& declared, const MakeCell& make,
                  const std::string& previous = "") {
  Table t("INTEGER PRIMARY KEY", declared, PgType::kInt8, type);
  if (!previous.empty()) t.database.exec("INSERT INTO t VALUES (1, " + previous + ")");
  RowWriter writer(t.database, t.map);
  Chunk chunk;
  chunk.add(Cell::integer(1));
  chunk.add(make(chunk));
  chunk.end_upsert(t.map.id);
  const Written written = writer.upsert(chunk, chunk.changes().front());
  if (written.outcome != Written::Outcome::kDone) return "!" + written.reason;
  return t.ask("SELECT typeof(v) || ':' || quote(v) FROM t");
}

bool refused(const std::string& written) {
  return written.starts_with("!") && written.find("affinity") != std::string::npos;
}

TEST(Trap03, TextInAColumnOfNumbers) {
  EXPECT_EQ(write(PgType::kText, "INT", text_cell("7")), "integer:7");
  EXPECT_EQ(write(PgType::kText, "DATETIME", text_cell("2024-11-25")), "text:'2024-11-25'");
  EXPECT_EQ(write(PgType::kText, "NUMERIC", text_cell("1.5")), "real:1.5");
  EXPECT_EQ(write(PgType::kText, "DOUBLE", text_cell("7.0")), "real:7.0");
  EXPECT_EQ(write(PgType::kText, "INT", text_cell("abc")), "text:'abc'");
  EXPECT_EQ(write(PgType::kText, "INT", text_cell("")), "text:''");
  for (const char* number : {"007", "1e3", "1.50", " 7", "+7", "12345678901234567890", "7.0"}) {
    EXPECT_TRUE(refused(write(PgType::kText, "INT", text_cell(number)))) << number;
    EXPECT_TRUE(refused(write(PgType::kText, "STRING", text_cell(number), "'x'"))) << number;
    EXPECT_EQ(write(PgType::kText, "TEXT", text_cell(number)), fmt::format("text:'{}'", number));
    EXPECT_EQ(write(PgType::kText, "", text_cell(number)), fmt::format("text:'{}'", number));
  }
  EXPECT_TRUE(refused(write(PgType::kText, "REAL", text_cell("7")))) << "it would be 7.0";
}

TEST(Trap03, NumbersInAColumnOfText) {
  const double sum = 0.1 + 0.2;
  EXPECT_EQ(write(PgType::kFloat8, "TEXT", real_cell(sum)), "text:'0.30000000000000004'");
  EXPECT_EQ(write(PgType::kFloat8, "VARCHAR(9)", real_cell(sum), "'1.0'"),
            "text:'0.30000000000000004'");
  EXPECT_EQ(write(PgType::kFloat8, "TEXT", real_cell(std::numeric_limits<double>::infinity())),
            "text:'Infinity'");
  EXPECT_EQ(write(PgType::kInt8, "TEXT", integer_cell(7)), "text:'7'");
  EXPECT_EQ(write(PgType::kBool, "TEXT", [](Chunk&) { return Cell::boolean(true); }), "text:'1'");
  EXPECT_EQ(write(PgType::kNumeric, "TEXT", text_cell(Kind::kDecimal, "1.10")), "text:'1.10'");
}

TEST(Trap03, RealIntoAColumnOfIntegersAndBack) {
  EXPECT_EQ(write(PgType::kFloat8, "INT", real_cell(1.0)), "integer:1");
  EXPECT_EQ(write(PgType::kFloat8, "INT", real_cell(1.5), "2"), "real:1.5");
  EXPECT_EQ(write(PgType::kInt8, "REAL", integer_cell(7)), "real:7.0");
  EXPECT_EQ(write(PgType::kInt8, "REAL", integer_cell((std::int64_t{1} << 53) + 1)).front(), '!')
      << "it would be rounded";
  EXPECT_EQ(write(PgType::kInt8, "NUMERIC", integer_cell(INT64_MAX)),
            fmt::format("integer:{}", INT64_MAX));
}

TEST(Trap03, DecimalsThatARealCannotHold) {
  EXPECT_EQ(write(PgType::kNumeric, "DECIMAL(10,2)", text_cell(Kind::kDecimal, "1.10")),
            "real:1.1");
  EXPECT_EQ(write(PgType::kNumeric, "NUMERIC", text_cell(Kind::kDecimal, "12345678901234.56")),
            "real:1.23456789012345605465e+13");
  for (const char* digits : {"0.1234567890123456789", "9223372036854775809"}) {
    EXPECT_TRUE(refused(write(PgType::kNumeric, "NUMERIC", text_cell(Kind::kDecimal, digits))));
    EXPECT_EQ(write(PgType::kNumeric, "", text_cell(Kind::kDecimal, digits)),
              fmt::format("text:'{}'", digits));
  }
}

TEST(Trap03, WhatElseLooksLikeANumber) {
  EXPECT_EQ(write(PgType::kBytea, "NUMERIC", text_cell(Kind::kBytes, "007"), "'abc'"),
            "blob:X'303037'");
  EXPECT_EQ(
      write(PgType::kUuid, "UUID", text_cell(Kind::kUuid, "12345678-9012-3456-7890-123456789012"),
            "'abcdefabcdefabcdefabcdefabcdefab'"),
      "text:'12345678-9012-3456-7890-123456789012'");
  EXPECT_EQ(write(PgType::kJsonb, "JSON", text_cell(Kind::kJson, "42")), "integer:42");
  EXPECT_EQ(write(PgType::kJsonb, "JSON", text_cell(Kind::kJson, "\"007\"")), "text:'\"007\"'");
  EXPECT_TRUE(
      refused(write(PgType::kJsonb, "JSON", text_cell(Kind::kJson, "0.1234567890123456789"))));
  EXPECT_EQ(write(PgType::kTimestamptz, "DATETIME",
                  [](Chunk&) { return Cell::timestamp(1'700'000'000'000'000); }),
            "integer:1700000000");
  EXPECT_EQ(write(PgType::kTimestamptz, "TEXT",
                  [](Chunk&) { return Cell::timestamp(1'700'000'000'000'000); }),
            "text:'1700000000'");
}

TEST(Trap03, AKeyThatSqliteFindsByAnotherText) {
  Table t("INT PRIMARY KEY", "TEXT", PgType::kText, PgType::kText);
  t.database.exec("INSERT INTO t VALUES (7, 'seven')");
  RowWriter writer(t.database, t.map);
  Chunk chunk;
  chunk.add(chunk.add_text(Kind::kText, "007"));
  chunk.end_delete(t.map.id);
  EXPECT_EQ(writer.remove(chunk, chunk.changes().front()).outcome, Written::Outcome::kDone);
  EXPECT_EQ(t.ask("SELECT v FROM t"), "seven") << "'007' is not in this table";
  chunk.clear();
  chunk.add(chunk.add_text(Kind::kText, "7"));
  chunk.end_delete(t.map.id);
  writer.remove(chunk, chunk.changes().front());
  EXPECT_EQ(t.ask("SELECT v FROM t"), "");
}

TEST(Trap03, AStrictColumnConvertsNothing) {
  SQLite::Database database(":memory:", SQLite::OPEN_READWRITE);
  database.exec("CREATE TABLE t(k INTEGER PRIMARY KEY, v ANY) STRICT");
  Table t("", "", PgType::kInt8, PgType::kText);
  RowWriter writer(database, t.map);
  Chunk chunk;
  chunk.add(Cell::integer(1));
  chunk.add(chunk.add_text(Kind::kText, "007"));
  chunk.end_upsert(t.map.id);
  EXPECT_EQ(writer.upsert(chunk, chunk.changes().front()).outcome, Written::Outcome::kDone);
  EXPECT_EQ(database.execAndGet("SELECT v FROM t").getString(), "007");
}

TEST(Trap03, GeneratedColumnsAreReadAndNeverWritten) {
  for (const char* kind : {"VIRTUAL", "STORED"}) {
    SQLite::Database database(":memory:", SQLite::OPEN_READWRITE);
    database.exec(
        fmt::format("CREATE TABLE t(k INTEGER PRIMARY KEY, a, v AS (a || '!') {})", kind));
    database.exec("INSERT INTO t VALUES (1, 'x')");
    Table t("", "", PgType::kInt8, PgType::kText);
    ColumnMap a = t.map.columns[1];
    a.name = a.old_name = "a";
    t.map.columns.push_back(a);
    Chunk forward;
    RowQuery query(database, t.map);
    const StoredValue key{SQLITE_INTEGER, 1, 0, {}};
    ASSERT_TRUE(query.append_current(std::span(&key, 1), forward));
    EXPECT_EQ(forward.text(forward.row(forward.changes()[0])[1]), "x!");

    RowWriter writer(database, t.map);
    for (const int id : {1, 2}) {
      Chunk chunk;
      chunk.add(Cell::integer(id));
      chunk.add(chunk.add_text(Kind::kText, "computed elsewhere"));
      chunk.add(chunk.add_text(Kind::kText, "y"));
      chunk.end_upsert(t.map.id);
      EXPECT_EQ(writer.upsert(chunk, chunk.changes().front()).reason, "") << kind;
    }
    EXPECT_EQ(database.execAndGet("SELECT group_concat(k || v) FROM t").getString(), "1y!,2y!");
  }
}

}  // namespace
}  // namespace switchback
