// How one table, as the server describes it in a Relation message, lies on its TableMap: which
// value of a tuple is which column, or what has changed about the table since the mapping was made.
// Part of the assembler. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "replication/pgoutput.h"
#include "state/model/table_map.h"

namespace switchback {

struct RelationMap {
  /// A column that the server never sends: GENERATED … STORED.
  static constexpr std::uint16_t kNotSent = UINT16_MAX;

  const TableMap* table = nullptr;    // null: not a table of ours
  std::vector<std::uint16_t> from;    // per column of the map: index into the tuple, or kNotSent
  std::size_t width = 0;              // values in a tuple
  std::vector<std::string> unmapped;  // columns that the mapping leaves out
  std::string difference;             // not empty: the ALTER that would explain what does not fit
};

using TypeNames = std::unordered_map<std::uint32_t, std::string>;

/// `before` is what the same relation was in this stream, null at its first message: columns that
/// the mapping leaves out are its business, but one that appears while we watch is a change.
RelationMap map_relation(const pgoutput::Relation& relation, const TableMap& table,
                         const TypeNames& type_names, const RelationMap* before);

}  // namespace switchback
