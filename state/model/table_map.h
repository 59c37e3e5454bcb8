// The mapping as data: which old table goes to which PostgreSQL table, column by column. `bridge/`
// parses and validates the configuration into these plain structs; endpoints execute them.
// Immutable once made and shared by all threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "state/model/cell.h"

namespace switchback {

/// Index into Mapping::tables.
enum class TableId : std::uint16_t {};
constexpr std::size_t index(TableId id) {
  return static_cast<std::size_t>(id);
}

/// PostgreSQL's column types, as far as the bridge carries them. Others go by their text form.
enum class PgType : std::uint8_t {
  kBool,
  kInt2,
  kInt4,
  kInt8,
  kFloat4,
  kFloat8,
  kNumeric,
  kText,
  kVarchar,
  kChar,
  kBytea,
  kJson,
  kJsonb,
  kTimestamp,
  kTimestamptz,
  kDate,
  kUuid,
  kOtherText,  // any type not named here: carried as text, cast by the server
};

/// The canonical kind in which values of a type travel.
Kind kind_of(PgType type) noexcept;

/// How an old store spells a date or timestamp.
enum class Spelling : std::uint8_t {
  kSqlite,   // 2024-11-25 01:23:24[.ffffff], UTC
  kIsoMsZ,   // 2024-11-25T01:23:24.000Z
  kIso,      // other ISO 8601: 'T' or blank, any fraction, Z or an offset or nothing (UTC)
  kTwitter,  // Mon Nov 25 01:23:24 +0000 2024
  kUnix,     // integer seconds since 1970
  kUnixMs,   // integer milliseconds since 1970
};

struct ColumnMap {
  std::string old_name;  // empty: the old side has no such column
  std::string name;      // in PostgreSQL
  PgType type = PgType::kText;
  std::string type_name;  // as PostgreSQL's format_type() spells it: "character varying(255)"
  std::int32_t type_modifier = -1;  // atttypmod
  bool not_null = false;
  bool generated = false;           // GENERATED … STORED in PostgreSQL: read there, never written
  std::vector<Spelling> spellings;  // accepted, the first is written when there is none to imitate
};

enum class Orphans : std::uint8_t { kQuarantine, kNull, kLeave };
enum class Only : std::uint8_t { kNeither, kPostgres, kOld };

/// A foreign key of the PostgreSQL table to another mapped table (or itself).
struct ForeignKey {
  std::string name;
  std::vector<std::uint16_t> columns;  // indexes into TableMap::columns
  TableId parent{};
  std::vector<std::uint16_t> parent_columns;
  char on_delete =
      'a';  // pg_constraint.confdeltype: a no action, r restrict, c cascade, n null, d default
  char on_update = 'a';
};

struct TableMap {
  TableId id{};
  std::string store;      // the [store.S] it comes from; empty for only = "postgres"
  std::string old_table;  // in SQLite
  std::string schema;     // in PostgreSQL, "public" unless said
  std::string table;
  /// Key columns first (key_width of them, in the PostgreSQL primary key's order), so that the key
  /// of a row is a prefix of its cells.
  std::vector<ColumnMap> columns;
  std::uint16_t key_width = 0;
  std::uint16_t rank = 0;  // parents have a lower rank than children; equal within a cycle
  std::vector<ForeignKey> foreign_keys;
  Orphans orphans = Orphans::kQuarantine;
  Only only = Only::kNeither;
  bool keep_deleted = false;  // what the old side drops stays in PostgreSQL, and is no difference
  std::string group = "all";

  bool flows() const { return only == Only::kNeither; }
};

/// All tables of one bridge, in TableId order.
struct Mapping {
  std::string bridge;  // its name: prefixes everything installed in PostgreSQL
  std::vector<TableMap> tables;

  const TableMap& table(TableId id) const { return tables.at(index(id)); }
  /// Ids of the tables that flow, parents first.
  std::vector<TableId> parents_first() const;
  std::optional<TableId> find(std::string_view schema, std::string_view table) const;
  std::optional<TableId> find_old(std::string_view store, std::string_view old_table) const;
  /// The most key columns any table has.
  std::uint16_t widest_key() const;
};

}  // namespace switchback
