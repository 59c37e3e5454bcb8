#include "replication/catalog.h"

#include <unordered_map>

namespace switchback {
namespace {

// In front of every query below. `t` is a table that an application may have made; `base` says
// what a type is made of: a domain's values have the form of the type behind it.
constexpr const char* kPrelude =
    "WITH RECURSIVE t AS ("
    " SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relowner"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'"
    " AND n.nspname NOT IN ('information_schema', 'switchback')),"
    " base AS ("
    " SELECT oid AS typ, oid AS base, typbasetype FROM pg_type"
    " UNION ALL SELECT b.typ, y.oid, y.typbasetype"
    " FROM base b JOIN pg_type y ON y.oid = b.typbasetype) ";

constexpr const char* kTables =
    "SELECT t.oid, t.nspname, t.relname, pg_get_userbyid(t.relowner), t.relkind, t.relreplident"
    " FROM t ORDER BY t.nspname, t.relname";

constexpr const char* kColumns =
    "SELECT a.attrelid, a.attname, b.base, format_type(a.atttypid, a.atttypmod), a.atttypmod,"
    " a.attnotnull, a.attgenerated <> '', a.attidentity = 'a',"
    " CASE WHEN a.attgenerated = '' THEN"
    "   coalesce(pg_get_serial_sequence(format('%I.%I', t.nspname, t.relname), a.attname), '')"
    " ELSE '' END,"
    " (a.atthasdef AND a.attgenerated = '') OR a.attidentity <> ''"
    " FROM t"
    " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " JOIN base b ON b.typ = a.atttypid AND b.typbasetype = 0"
    " ORDER BY a.attrelid, a.attnum";

constexpr const char* kPrimaryKeys =
    "SELECT k.conrelid, a.attname FROM t"
    " JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'p'"
    " CROSS JOIN unnest(k.conkey) WITH ORDINALITY AS m (attnum, place)"
    " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = m.attnum"
    " ORDER BY k.conrelid, m.place";

// One row for each pair of columns. Copies that partitions of the parent carry are left out: their
// conparentid points at the constraint that the application made.
constexpr const char* kForeignKeys =
    "SELECT k.conrelid, k.oid, k.conname, a.attname, pn.nspname, p.relname, pa.attname,"
    " k.confdeltype, k.confupdtype, k.convalidated FROM t"
    " JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f' AND k.conparentid = 0"
    " JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace"
    " CROSS JOIN unnest(k.conkey, k.confkey) WITH ORDINALITY AS m (child, parent, place)"
    " JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = m.child"
    " JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = m.parent"
    " ORDER BY k.conrelid, k.conname, k.oid, m.place";

constexpr const char* kObjects =
    "SELECT o.relation, o.sort, o.name, o.definition FROM ("
    "  SELECT k.conrelid AS relation, k.contype AS sort, k.conname AS name,"
    "   pg_get_constraintdef(k.oid) AS definition, 0 AS place"
    "  FROM t"
    "  JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('p', 'u', 'c', 'f', 'x')"
    "   AND (k.contype <> 'f' OR k.conparentid = 0)"
    "  UNION ALL"
    "  SELECT i.indrelid, 'i', c.relname, pg_get_indexdef(i.indexrelid), 1"
    "  FROM t"
    "  JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid"
    "  WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid"
    "   AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x'))) o"
    " ORDER BY o.relation, o.place, o.sort, o.name";

constexpr const char* kTriggers =
    "SELECT g.tgrelid, g.tgname, g.tgenabled, f.nspname = 'switchback' FROM t"
    " JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal"
    " JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace f ON f.oid = p.pronamespace"
    " ORDER BY g.tgrelid, g.tgname";

/// The type behind a pg_type OID; types the bridge does not know travel as text.
PgType type_of(std::int64_t oid) {
  switch (oid) {
    case 16:
      return PgType::kBool;
    case 17:
      return PgType::kBytea;
    case 20:
      return PgType::kInt8;
    case 21:
      return PgType::kInt2;
    case 23:
      return PgType::kInt4;
    case 25:
      return PgType::kText;
    case 114:
      return PgType::kJson;
    case 700:
      return PgType::kFloat4;
    case 701:
      return PgType::kFloat8;
    case 1042:
      return PgType::kChar;
    case 1043:
      return PgType::kVarchar;
    case 1082:
      return PgType::kDate;
    case 1114:
      return PgType::kTimestamp;
    case 1184:
      return PgType::kTimestamptz;
    case 1700:
      return PgType::kNumeric;
    case 2950:
      return PgType::kUuid;
    case 3802:
      return PgType::kJsonb;
    default:
      return PgType::kOtherText;  // an open set of numbers, not an enum
  }
}

CatalogObject::Sort sort_of(char type) {
  switch (type) {
    case 'p':
      return CatalogObject::Sort::kPrimaryKey;
    case 'u':
      return CatalogObject::Sort::kUnique;
    case 'c':
      return CatalogObject::Sort::kCheck;
    case 'f':
      return CatalogObject::Sort::kForeignKey;
    case 'x':
      return CatalogObject::Sort::kExclusion;
    case 'i':
      return CatalogObject::Sort::kIndex;
    default:
      break;
  }
  throw Error(ErrorKind::kInternal, Retry::kNever,
              std::string("an unknown type of constraint: ") + type);
}

/// Runs the queries in one snapshot, in the caller's transaction if there is one.
class Reading {
 public:
  explicit Reading(Connection& connection) : connection_(connection) {
    own_ = !connection.in_transaction();
    if (own_) connection_.exec("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const Result result = connection_.exec(std::string(kPrelude) + kTables);
    for (int row = 0; row < result.rows(); ++row) {
      CatalogTable table;
      table.oid = static_cast<std::uint32_t>(result.integer(row, 0));
      table.schema = result.string(row, 1);
      table.name = result.string(row, 2);
      table.owner = result.string(row, 3);
      table.kind = result.text(row, 4).at(0);
      table.replica_identity = result.text(row, 5).at(0);
      by_oid_[result.integer(row, 0)] = tables_.size();
      tables_.push_back(std::move(table));
    }
  }

  /// Calls take(table, result, row) for each row; its first column is the table's OID.
  template <class Take>
  void each(const char* sql, const Take& take) {
    const Result result = connection_.exec(std::string(kPrelude) + sql);
    for (int row = 0; row < result.rows(); ++row) {
      const auto found = by_oid_.find(result.integer(row, 0));
      // Without: catalog functions see later than the snapshot does; the table has just come.
      if (found != by_oid_.end()) take(tables_[found->second], result, row);
    }
  }

  std::vector<CatalogTable> finish() {
    if (own_) connection_.exec("COMMIT");
    return std::move(tables_);
  }

 private:
  Connection& connection_;
  bool own_ = false;
  std::vector<CatalogTable> tables_;
  std::unordered_map<std::int64_t, std::size_t> by_oid_;
};

void take_column(CatalogTable& table, const Result& result, int row) {
  CatalogColumn column;
  column.name = result.string(row, 1);
  column.type = type_of(result.integer(row, 2));
  column.type_name = result.string(row, 3);
  column.type_modifier = static_cast<std::int32_t>(result.integer(row, 4));
  column.not_null = result.boolean(row, 5);
  column.generated = result.boolean(row, 6);
  column.identity_always = result.boolean(row, 7);
  column.sequence = result.string(row, 8);
  column.has_default = result.boolean(row, 9);
  table.columns.push_back(std::move(column));
}

void take_foreign_key(CatalogTable& table, const Result& result, int row) {
  const bool first = row == 0 || result.text(row - 1, 1) != result.text(row, 1);
  if (first) {
    CatalogForeignKey key;
    key.name = result.string(row, 2);
    key.parent_schema = result.string(row, 4);
    key.parent_table = result.string(row, 5);
    key.on_delete = result.text(row, 7).at(0);
    key.on_update = result.text(row, 8).at(0);
    key.validated = result.boolean(row, 9);
    table.foreign_keys.push_back(std::move(key));
  }
  CatalogForeignKey& key = table.foreign_keys.back();
  key.columns.push_back(result.string(row, 3));
  key.parent_columns.push_back(result.string(row, 6));
}

}  // namespace

std::vector<CatalogTable> read_catalog(Connection& connection) {
  Reading reading(connection);
  reading.each(kColumns, take_column);
  reading.each(kPrimaryKeys, [](CatalogTable& table, const Result& result, int row) {
    table.primary_key.push_back(result.string(row, 1));
  });
  reading.each(kForeignKeys, take_foreign_key);
  reading.each(kObjects, [](CatalogTable& table, const Result& result, int row) {
    table.objects.push_back(
        {sort_of(result.text(row, 1).at(0)), result.string(row, 2), result.string(row, 3)});
  });
  reading.each(kTriggers, [](CatalogTable& table, const Result& result, int row) {
    table.triggers.push_back(
        {result.string(row, 1), result.text(row, 2).at(0), result.boolean(row, 3)});
  });
  return reading.finish();
}

}  // namespace switchback
