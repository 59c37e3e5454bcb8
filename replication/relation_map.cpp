#include "replication/relation_map.h"

#include <fmt/format.h>

#include <algorithm>

#include "replication/codec.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

// Types below this OID are the same on every server; others are described by Type messages.
// https://www.postgresql.org/docs/15/system-catalog-initial-data.html
constexpr std::uint32_t kFirstUserType = 16384;

std::string type_name(std::uint32_t oid, const TypeNames& names) {
  if (const auto found = names.find(oid); found != names.end()) return found->second;
  struct Known {
    PgType type;
    const char* name;
  };
  static constexpr Known kKnown[] = {
      {PgType::kBool, "boolean"},    {PgType::kInt2, "smallint"},
      {PgType::kInt4, "integer"},    {PgType::kInt8, "bigint"},
      {PgType::kFloat4, "real"},     {PgType::kFloat8, "double precision"},
      {PgType::kNumeric, "numeric"}, {PgType::kText, "text"},
      {PgType::kVarchar, "varchar"}, {PgType::kChar, "character"},
      {PgType::kBytea, "bytea"},     {PgType::kJson, "json"},
      {PgType::kJsonb, "jsonb"},     {PgType::kTimestamp, "timestamp"},
      {PgType::kDate, "date"},       {PgType::kTimestamptz, "timestamptz"},
      {PgType::kUuid, "uuid"}};
  for (const auto& known : kKnown) {
    if (type_oid(known.type) == oid) return known.name;
  }
  return fmt::format("/* type with oid {} */", oid);
}

bool type_fits(const pgoutput::RelationColumn& sent, const ColumnMap& column,
               const TypeNames& names) {
  if (sent.type >= kFirstUserType) {
    // A domain or an enumeration. Its number means nothing to the mapping, its name does.
    const auto found = names.find(sent.type);
    return found != names.end() && column.type_name.find(found->second) != std::string::npos;
  }
  if (column.type != PgType::kOtherText && type_oid(column.type) != sent.type) return false;
  return column.type_modifier == -1 || column.type_modifier == sent.type_modifier;
}

class Comparison {
 public:
  Comparison(const pgoutput::Relation& relation, const TableMap& table, const TypeNames& names)
      : relation_(relation), table_(table), names_(names) {}

  void map_columns(RelationMap& out) {
    for (const auto& column : table_.columns) {
      const auto at = find(column.name);
      if (!at) {
        out.from.push_back(RelationMap::kNotSent);
        if (!column.generated) missing_.push_back(column.name);
        continue;
      }
      const auto& sent = relation_.columns[*at];
      out.from.push_back(*at);
      if (!type_fits(sent, column, names_)) {
        alter(fmt::format("ALTER COLUMN {} TYPE {}", quote_identifier(sent.name),
                          type_name(sent.type, names_)));
      }
      if (out.from.size() <= table_.key_width && !sent.key) identity_fits_ = false;
    }
  }

  void find_unmapped(RelationMap& out, const RelationMap* before) {
    for (const auto& sent : relation_.columns) {
      const bool mapped =
          std::any_of(table_.columns.begin(), table_.columns.end(),
                      [&](const ColumnMap& column) { return column.name == sent.name; });
      if (mapped) continue;
      out.unmapped.emplace_back(sent.name);
      const bool is_new = before != nullptr &&
                          std::find(before->unmapped.begin(), before->unmapped.end(), sent.name) ==
                              before->unmapped.end();
      if (is_new) added_.push_back(&sent);
    }
  }

  std::string difference() {
    if (missing_.size() == 1 && added_.size() == 1) {
      alter(fmt::format("RENAME COLUMN {} TO {}", quote_identifier(missing_[0]),
                        quote_identifier(added_[0]->name)));
    } else {
      for (const auto& name : missing_) alter("DROP COLUMN " + quote_identifier(name));
      for (const auto* sent : added_) {
        alter(fmt::format("ADD COLUMN {} {}", quote_identifier(sent->name),
                          type_name(sent->type, names_)));
      }
    }
    if (difference_.empty() && !identity_fits_) {
      alter("REPLICA IDENTITY … without every column of the mapped key");
    }
    return difference_;
  }

 private:
  std::optional<std::uint16_t> find(std::string_view name) const {
    for (std::size_t i = 0; i < relation_.columns.size(); ++i) {
      if (relation_.columns[i].name == name) return static_cast<std::uint16_t>(i);
    }
    return std::nullopt;
  }

  void alter(const std::string& what) {
    if (!difference_.empty()) difference_ += "; ";
    difference_ += fmt::format("ALTER TABLE {}.{} {}", quote_identifier(relation_.schema),
                               quote_identifier(relation_.name), what);
  }

  const pgoutput::Relation& relation_;
  const TableMap& table_;
  const TypeNames& names_;
  std::vector<std::string> missing_;
  std::vector<const pgoutput::RelationColumn*> added_;
  bool identity_fits_ = true;
  std::string difference_;
};

}  // namespace

RelationMap map_relation(const pgoutput::Relation& relation, const TableMap& table,
                         const TypeNames& type_names, const RelationMap* before) {
  RelationMap out;
  out.table = &table;
  out.width = relation.columns.size();
  Comparison comparison(relation, table, type_names);
  comparison.map_columns(out);
  comparison.find_unmapped(out, before);
  out.difference = comparison.difference();
  return out;
}

}  // namespace switchback
