#include "state/model/meaning.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace switchback {
namespace {

ColumnMap column(PgType type) {
  ColumnMap map;
  map.old_name = map.name = "c";
  map.type = type;
  return map;
}

std::string meaning(const ColumnMap& map, const Cell& cell, const Chunk& chunk) {
  std::string out;
  append_meaning(map, cell, chunk, out);
  return out;
}

/// Values of one type that are near each other: equal ones spelled apart, different ones alike.
std::vector<Cell> cells_of(PgType type, Chunk& chunk) {
  std::vector<Cell> out{Cell::null(), Cell::unchanged()};
  const auto texts = [&](Kind kind, std::vector<std::string> of) {
    for (const auto& text : of) out.push_back(chunk.add_text(kind, text));
  };
  const Kind kind = kind_of(type);
  if (kind == Kind::kInt) {
    for (const std::int64_t i : {0, 1, -1, 256}) out.push_back(Cell::integer(i));
  } else if (kind == Kind::kReal) {
    for (const double d :
         {0.0, -0.0, 1.5, std::nan(""), -std::nan(""), std::numeric_limits<double>::infinity()}) {
      out.push_back(Cell::real(d));
    }
  } else if (kind == Kind::kDecimal) {
    texts(kind, {"0", "-0", "0.00", "1", "1.0", "1.10", "1.1", "-1", "10", "NaN"});
  } else if (kind == Kind::kJson) {
    texts(kind, {"1",
                 "1.0",
                 "1e0",
                 "10",
                 "\"1\"",
                 R"({"a":1,"b":[2,3]})",
                 R"({"b":[2.0, 3],"a":1})",
                 R"({"a":1,"b":[3,2]})",
                 R"({"a":0,"a":1,"b":[2,3]})",
                 R"({"ab":[]})",
                 R"({"a":"b"})",
                 "[]",
                 "[[]]",
                 "[[],[]]",
                 "{}",
                 "null",
                 R"("\u00e9")",
                 "\"é\"",
                 "no json",
                 "no jso",
                 R"({"a":[1],"b":2})",
                 R"({"a":[1,2]})",
                 "1e999999999999",
                 "1e999999999998"});
  } else {
    texts(kind, {"", " ", "a", "a ", " a", "A", "ab"});
  }
  return out;
}

TEST(Meaning, BytesAreEqualExactlyWhereCellsMeanTheSame) {
  for (const PgType type : {PgType::kInt8, PgType::kFloat8, PgType::kNumeric, PgType::kJsonb,
                            PgType::kText, PgType::kChar, PgType::kBytea}) {
    Chunk chunk;
    const ColumnMap map = column(type);
    const auto cells = cells_of(type, chunk);
    for (const Cell& a : cells) {
      for (const Cell& b : cells) {
        const bool same = cells_same(map, a, chunk, b, chunk);
        EXPECT_EQ(same, meaning(map, a, chunk) == meaning(map, b, chunk))
            << (has_text(a.kind) ? chunk.text(a) : "") << " | "
            << (has_text(b.kind) ? chunk.text(b) : "");
      }
    }
  }
}

TEST(Meaning, NoMeaningIsTheBeginningOfAnother) {
  for (const PgType type : {PgType::kInt8, PgType::kNumeric, PgType::kJsonb, PgType::kText}) {
    Chunk chunk;
    const ColumnMap map = column(type);
    const auto cells = cells_of(type, chunk);
    for (const Cell& a : cells) {
      for (const Cell& b : cells) {
        const std::string first = meaning(map, a, chunk), second = meaning(map, b, chunk);
        EXPECT_TRUE(first == second || !second.starts_with(first));
      }
    }
  }
}

TEST(Meaning, ARowIsItsComparedColumns) {
  TableMap map;
  map.columns = {column(PgType::kInt8), column(PgType::kText), column(PgType::kText)};
  map.key_width = 1;
  RowHasher hasher(map, {0, 2});
  Chunk chunk;
  const auto row = [&](int key, const char* one, const char* two) {
    chunk.add(Cell::integer(key));
    chunk.add(chunk.add_text(Kind::kText, one));
    chunk.add(chunk.add_text(Kind::kText, two));
    chunk.end_upsert({});
    return chunk.row(chunk.changes().back());
  };
  const Hash128 first = hasher.row(row(1, "x", "y"), chunk);
  EXPECT_EQ(first, hasher.row(row(1, "not looked at", "y"), chunk));
  EXPECT_NE(first, hasher.row(row(1, "x", "z"), chunk));
  EXPECT_NE(first, hasher.row(row(2, "x", "y"), chunk));
  EXPECT_EQ(hasher.key(row(1, "x", "y"), chunk), hasher.key(row(1, "", ""), chunk));
}

TEST(Hash128, SumsCarryOver) {
  Hash128 sum{1, UINT64_MAX};
  sum += {2, 1};
  EXPECT_EQ(sum, (Hash128{4, 0}));
  std::minstd_rand random(7);
  std::vector<Hash128> hashes(100);
  for (auto& hash : hashes) hash = hash_of(std::to_string(random()));
  Hash128 forwards, backwards;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    forwards += hashes[i];
    backwards += hashes[hashes.size() - 1 - i];
  }
  EXPECT_EQ(forwards, backwards);
}

}  // namespace
}  // namespace switchback
