#include "replication/unique_values.h"

#include <fmt/format.h>

#include <limits>

#include "replication/meta.h"

namespace switchback {
namespace {

// A constraint's index depends on the constraint, any other one on its columns. Where rows
// elsewhere would follow a placeholder, there must be none; nor where it would have to be a row's
// key.
constexpr const char* kUniqueColumns = R"(
SELECT a.attname, a.attidentity = 'a', EXISTS (
  SELECT 1 FROM pg_index i
   WHERE i.indrelid = a.attrelid AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary
     AND (a.attnum = ANY (i.indkey::int2[])
          OR EXISTS (SELECT 1 FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                        AND d.refobjsubid = a.attnum)))
    AND NOT EXISTS (
  SELECT 1 FROM pg_constraint f
   WHERE f.contype = 'f' AND f.confrelid = a.attrelid AND a.attnum = ANY (f.confkey)
     AND f.confupdtype IN ('c', 'n', 'd'))
    AND NOT (a.attnotnull AND EXISTS (
  SELECT 1 FROM pg_constraint f
   WHERE f.contype = 'f' AND f.conrelid = a.attrelid AND a.attnum = ANY (f.conkey)))
  FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped)";

constexpr std::int32_t kTextHeader = 4;  // what a varchar's modifier adds to its length
constexpr std::size_t kShort = 24;

std::string words(const ColumnMap& column, std::uint64_t number) {
  const bool limited = column.type_modifier > kTextHeader;
  const auto most = static_cast<std::size_t>(column.type_modifier - kTextHeader);
  if (limited && most < kShort + 8) return fmt::format("~{:x}", number).substr(0, most);
  return fmt::format("switchback parked {}", number);
}

template <class Int>
Cell lowest(std::uint64_t number) {
  return Cell::integer(std::numeric_limits<Int>::min() + static_cast<std::int64_t>(number));
}

}  // namespace

UniqueColumns unique_columns(Connection& connection, const TableMap& table) {
  const Result found = connection.exec(kUniqueColumns, {quoted_name(table)});
  UniqueColumns unique;
  for (std::uint16_t i = 0; i < table.columns.size(); ++i) {
    for (int row = 0; row < found.rows(); ++row) {
      if (found.text(row, 0) != table.columns[i].name) continue;
      const bool in_key = i < table.key_width;
      if (in_key && found.boolean(row, 1)) unique.key_moves = false;
      if (!in_key && found.boolean(row, 2)) unique.columns.push_back(i);
    }
  }
  return unique;
}

std::optional<Cell> placeholder(const ColumnMap& column, std::uint64_t number, Chunk& out) {
  constexpr std::int64_t kYear1 = -62'135'596'800'000'000;  // microseconds before 1970
  switch (column.type) {
    case PgType::kInt2:
      return lowest<std::int16_t>(number);
    case PgType::kInt4:
      return lowest<std::int32_t>(number);
    case PgType::kInt8:
      return lowest<std::int64_t>(number);
    case PgType::kFloat4:
      return Cell::real(-1e6 - static_cast<double>(number) / 8);
    case PgType::kFloat8:
      return Cell::real(-1e15 - static_cast<double>(number));
    case PgType::kNumeric:
      return out.add_text(Kind::kDecimal, fmt::format("-{}", number));
    case PgType::kText:
    case PgType::kVarchar:
    case PgType::kChar:
      return out.add_text(Kind::kText, words(column, number));
    case PgType::kBytea:
      return out.add_text(Kind::kBytes, fmt::format("switchback parked {}", number));
    case PgType::kTimestamp:
    case PgType::kTimestamptz:
      return Cell::timestamp(kYear1 + static_cast<std::int64_t>(number));
    case PgType::kDate:
      return Cell::date(static_cast<std::int32_t>(number) - 719'000);
    case PgType::kUuid:
      return out.add_text(Kind::kUuid, fmt::format("00000000-0000-4000-8000-{:012x}", number));
    case PgType::kBool:
    case PgType::kJson:
    case PgType::kJsonb:
    case PgType::kOtherText:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace switchback
