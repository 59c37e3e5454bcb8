// What a SQLite column does to the values written into it: its affinity turns the text '007' into
// the integer 7, and 0.1 + 0.2 into the text '0.3'. The row writer asks before it writes, so that
// no value is stored as another; capture asks which keys can change their type alone. The
// functions are pure; an AffinityProbe belongs to one thread and must not outlive its database.
// https://www.sqlite.org/datatype3.html#determination_of_column_affinity
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/prepared.h"

namespace switchback {

enum class Affinity : std::uint8_t { kNone, kText, kNumeric, kInteger, kReal };

/// Of a column declared so; `strict` as the table is, where ANY converts nothing.
Affinity affinity_of(std::string_view declared_type, bool strict);
std::string_view to_string(Affinity affinity) noexcept;

/// False if a column of this affinity certainly stores `value` as it is.
bool may_convert(Affinity affinity, const StoredValue& value);

/// Says what a column makes of a value by asking SQLite itself, and finds the value to write.
class AffinityProbe {
 public:
  explicit AffinityProbe(SQLite::Database& database) : database_(database) {}

  /// As write_cell(), but such that `cell` is still meant after the column's conversion. Throws
  /// Error(kData) if the column can hold nothing that means it (the text '007' where it becomes 7).
  StoredValue fit(const ColumnMap& column, Affinity affinity, const Cell& cell, const Chunk& chunk,
                  const StoredValue* previous, std::string& scratch);

  /// `scratch` holds the bytes of the result.
  StoredValue stored(Affinity affinity, const StoredValue& value, std::string& scratch);

 private:
  StoredValue cast(std::optional<Prepared>& statement, const char* type, const StoredValue& value,
                   std::string& scratch);

  SQLite::Database& database_;
  std::string converted_;
  std::optional<Prepared> to_text_, to_numeric_, to_real_;
};

}  // namespace switchback
