#include "state/model/table_map.h"

#include <algorithm>

namespace switchback {

Kind kind_of(PgType type) noexcept {
  switch (type) {
    case PgType::kBool:
      return Kind::kBool;
    case PgType::kInt2:
    case PgType::kInt4:
    case PgType::kInt8:
      return Kind::kInt;
    case PgType::kFloat4:
    case PgType::kFloat8:
      return Kind::kReal;
    case PgType::kNumeric:
      return Kind::kDecimal;
    case PgType::kText:
    case PgType::kVarchar:
    case PgType::kChar:
    case PgType::kOtherText:
      return Kind::kText;
    case PgType::kBytea:
      return Kind::kBytes;
    case PgType::kJson:
    case PgType::kJsonb:
      return Kind::kJson;
    case PgType::kTimestamp:
    case PgType::kTimestamptz:
      return Kind::kTimestamp;
    case PgType::kDate:
      return Kind::kDate;
    case PgType::kUuid:
      return Kind::kUuid;
  }
  return Kind::kText;
}

std::vector<TableId> Mapping::parents_first() const {
  std::vector<TableId> ids;
  for (const auto& map : tables) {
    if (map.flows()) ids.push_back(map.id);
  }
  std::stable_sort(ids.begin(), ids.end(),
                   [&](TableId a, TableId b) { return table(a).rank < table(b).rank; });
  return ids;
}

std::optional<TableId> Mapping::find(std::string_view schema, std::string_view name) const {
  for (const auto& map : tables) {
    if (map.schema == schema && map.table == name) return map.id;
  }
  return std::nullopt;
}

std::optional<TableId> Mapping::find_old(std::string_view store, std::string_view name) const {
  for (const auto& map : tables) {
    if (map.store == store && map.old_table == name) return map.id;
  }
  return std::nullopt;
}

std::uint16_t Mapping::widest_key() const {
  std::uint16_t widest = 0;
  for (const auto& map : tables) widest = std::max(widest, map.key_width);
  return widest;
}

}  // namespace switchback
