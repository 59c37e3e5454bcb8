// Where a scan of a SQLite table stands, as text that survives a restart: stored values with their
// types, after the schema version under which they mean a place (0: under any). Pure and
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "watchers/sqlite/row_query.h"

namespace switchback {

struct ScanPlace {
  std::int64_t schema_version = 0;
  std::vector<KeyForm> after;         // empty: from the table's beginning
  std::optional<std::int64_t> until;  // the last rowid of a part; none: to the table's end
};

std::string encode_place(std::int64_t schema_version, std::span<const StoredValue> after,
                         std::optional<std::int64_t> until);
/// Throws Error(kData) if `text` was not made by encode_place().
ScanPlace decode_place(std::string_view text);

}  // namespace switchback
