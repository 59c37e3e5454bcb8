// The codec against a real server: what it sends is decoded, encoded and sent back, and must arrive
// as the same value; text and binary must give the same cell.
#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "replication/codec.h"
#include "replication/connection.h"
#include "state/base/sql_quote.h"
#include "tests/support/postgres_cluster.h"

namespace switchback {
namespace {

struct Sample {
  PgType type;
  const char* type_name;
  std::vector<const char*> values;
};

const std::vector<Sample>& samples() {
  static const std::vector<Sample> all = {
      {PgType::kBool, "boolean", {"t", "f"}},
      {PgType::kInt2, "smallint", {"0", "-32768", "32767"}},
      {PgType::kInt4, "integer", {"0", "-2147483648", "2147483647"}},
      {PgType::kInt8, "bigint", {"0", "-9223372036854775808", "9223372036854775807"}},
      {PgType::kFloat4, "real", {"0", "0.1", "-0", "NaN", "Infinity", "-Infinity", "1.5e-45"}},
      {PgType::kFloat8, "double precision", {"0.1", "-0", "NaN", "Infinity", "5e-324", "1e308"}},
      {PgType::kNumeric,
       "numeric",
       {"0", "0.000", "NaN", "-1", "10000", "1e100", "1e-100", "123456789.987654321000",
        "99999999999999999999999999999999999999999999.0001", "0.00001", "1000000.1"}},
      {PgType::kNumeric, "numeric(10,2)", {"12.5", "-99999999.99", "0.005"}},
      {PgType::kText,
       "text",
       {"", "plain", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "a'b\\c\n\t\"{}"}},
      {PgType::kVarchar, "character varying(20)", {"", "abc "}},
      {PgType::kChar, "character(5)", {"abc", "abcde", ""}},
      {PgType::kBytea, "bytea", {"\\x", "\\x00ff10", "\\xdeadbeef"}},
      {PgType::kJson, "json", {"{\"b\": 1,  \"a\":[1.0,1e2]}", "null", "\"x\""}},
      {PgType::kJsonb, "jsonb", {"{\"b\": 1,  \"a\":[1.0,1e2]}", "null", "[]", "\"\xc3\xa4\""}},
      {PgType::kTimestamp,
       "timestamp without time zone",
       {"2024-11-25 01:23:24", "2024-11-25 01:23:24.123456", "infinity", "-infinity",
        "0001-01-01 00:00:00", "4713-11-24 00:00:00 BC", "294246-12-31 23:59:59.999999"}},
      {PgType::kTimestamptz,
       "timestamp with time zone",
       {"2024-11-25 01:23:24+00", "1969-12-31 23:59:59.999999+00", "infinity", "-infinity",
        "0044-03-15 12:00:00+00 BC", "12345-01-02 03:04:05.6+00"}},
      {PgType::kDate,
       "date",
       {"1970-01-01", "2000-02-29", "infinity", "-infinity", "4713-11-24 BC", "5874897-12-31"}},
      {PgType::kUuid, "uuid", {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
      {PgType::kOtherText, "text", {"{1,2,3}", "1 day 02:03:04"}},
  };
  return all;
}

/// One row, one column, in the wanted format; a binary parameter if `oid` is not 0.
std::string ask(Connection& connection, const std::string& sql, bool binary_result,
                std::uint32_t oid = 0, const std::string& parameter = {}) {
  const Oid types[] = {oid};
  const char* values[] = {parameter.data()};
  const int lengths[] = {static_cast<int>(parameter.size())};
  const int formats[] = {1};
  const Result result(PQexecParams(connection.raw(), sql.c_str(), oid == 0 ? 0 : 1, types, values,
                                   lengths, formats, binary_result ? 1 : 0));
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
    ADD_FAILURE() << PQresultErrorMessage(result.get()) << sql;
    return {};
  }
  return result.string(0, 0);
}

void expect_same(const Chunk& chunk, const Cell& a, const Cell& b) {
  ASSERT_EQ(a.kind, b.kind);
  if (has_text(a.kind)) {
    EXPECT_EQ(chunk.text(a), chunk.text(b));
  } else {
    EXPECT_EQ(a.i, b.i);  // bits of reals too
  }
}

TEST(CodecOnServer, EveryTypeComesBackAsItWas) {
  Connection connection = Connection::open(test::fresh_database(), "switchback test");
  for (const auto& sample : samples()) {
    ColumnMap column;
    column.name = "c";
    column.type = sample.type;
    column.type_name = sample.type_name;
    for (const char* value : sample.values) {
      SCOPED_TRACE(std::string(sample.type_name) + " " + value);
      const std::string literal = quote_literal(value) + "::" + sample.type_name;
      const std::string spelled = ask(connection, "SELECT " + literal, false);
      Chunk chunk;
      const Cell cell = decode_binary(column, ask(connection, "SELECT " + literal, true), chunk);
      expect_same(chunk, cell, decode_text(column, spelled, chunk));
      std::string bytes;
      encode_binary(column, cell, has_text(cell.kind) ? chunk.text(cell) : "", bytes);
      EXPECT_EQ(ask(connection, "SELECT $1", false, type_oid(sample.type), bytes), spelled);
    }
  }
}

TEST(CodecOnServer, TypeNumbersAreTheServers) {
  Connection connection = Connection::open(test::fresh_database(), "switchback test");
  for (const auto& sample : samples()) {
    const Result result = connection.exec(
        "SELECT oid, typarray FROM pg_type WHERE oid = $1::regtype", {sample.type_name});
    EXPECT_EQ(result.integer(0, 0), type_oid(sample.type)) << sample.type_name;
    EXPECT_EQ(result.integer(0, 1), array_oid(sample.type)) << sample.type_name;
  }
}

}  // namespace
}  // namespace switchback
