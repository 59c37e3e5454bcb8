// What PostgreSQL's catalog says of the tables a bridge maps: types, keys, constraints, indexes,
// triggers. The mapping is built from it, `check` judges it, the load drops and restores by it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/connection.h"
#include "state/model/table_map.h"

namespace switchback {

struct CatalogColumn {
  std::string name;
  PgType type = PgType::kText;
  std::string type_name;  // format_type()
  std::int32_t type_modifier = -1;
  bool not_null = false;
  bool has_default = false;      // a DEFAULT expression or an identity
  bool generated = false;        // GENERATED ALWAYS AS … STORED
  bool identity_always = false;  // GENERATED ALWAYS AS IDENTITY
  std::string sequence;          // pg_get_serial_sequence(), schema-qualified and quoted; or empty
};

struct CatalogForeignKey {
  std::string name;
  std::vector<std::string> columns;
  std::string parent_schema, parent_table;
  std::vector<std::string> parent_columns;
  char on_delete = 'a', on_update = 'a';
  bool validated = true;
};

/// A constraint or index with the SQL that makes it again.
struct CatalogObject {
  enum class Sort { kPrimaryKey, kUnique, kCheck, kForeignKey, kExclusion, kIndex };
  Sort sort = Sort::kIndex;
  std::string name;
  std::string definition;  // pg_get_constraintdef() or pg_get_indexdef()
};

struct CatalogTrigger {
  std::string name;
  char enabled = 'O';  // pg_trigger.tgenabled
  bool ours = false;   // installed by the bridge
};

struct CatalogTable {
  std::uint32_t oid = 0;
  std::string schema, name, owner;
  char kind = 'r';                       // pg_class.relkind: r table, p partitioned
  char replica_identity = 'd';           // pg_class.relreplident
  std::vector<CatalogColumn> columns;    // attnum order, dropped ones left out
  std::vector<std::string> primary_key;  // in key order; empty if none
  std::vector<CatalogForeignKey> foreign_keys;
  std::vector<CatalogObject> objects;    // constraints, then indexes that belong to none
  std::vector<CatalogTrigger> triggers;  // not the internal ones
};

/// All tables the session can see outside system schemas and outside `switchback`, by schema and
/// name. One snapshot.
std::vector<CatalogTable> read_catalog(Connection& connection);

}  // namespace switchback
