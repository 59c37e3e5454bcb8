#include "tests/support/test_mapping.h"

namespace switchback {
namespace {

ColumnMap column(const char* name, PgType type, const char* type_name, bool not_null = false) {
  ColumnMap map;
  map.old_name = map.name = name;
  map.type = type;
  map.type_name = type_name;
  map.not_null = not_null;
  return map;
}

TableMap table(TableId id, const char* name) {
  TableMap map;
  map.id = id;
  map.store = "app";
  map.old_table = map.table = name;
  map.schema = "public";
  map.key_width = 1;
  map.rank = static_cast<std::uint16_t>(index(id));
  return map;
}

}  // namespace

const char* const kTestSqliteSchema =
    "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT NOT NULL, flag BOOLEAN, doc JSON,"
    " at DATETIME);"
    "CREATE TABLE child(id INTEGER PRIMARY KEY AUTOINCREMENT, parent_id INTEGER, amount NUMERIC);";

const char* const kTestPostgresSchema =
    "CREATE TABLE public.parent(id integer PRIMARY KEY, name text NOT NULL, flag boolean, doc "
    "jsonb,"
    " at timestamptz);"
    "CREATE TABLE public.child(id bigserial PRIMARY KEY, parent_id integer"
    " CONSTRAINT child_parent_fk REFERENCES public.parent(id), amount numeric);";

std::shared_ptr<const Mapping> test_mapping() {
  auto mapping = std::make_shared<Mapping>();
  mapping->bridge = "test";
  TableMap parent = table(kParent, "parent");
  parent.columns = {
      column("id", PgType::kInt4, "integer", true), column("name", PgType::kText, "text", true),
      column("flag", PgType::kBool, "boolean"), column("doc", PgType::kJsonb, "jsonb"),
      column("at", PgType::kTimestamptz, "timestamp with time zone")};
  TableMap child = table(kChild, "child");
  child.columns = {column("id", PgType::kInt8, "bigint", true),
                   column("parent_id", PgType::kInt4, "integer"),
                   column("amount", PgType::kNumeric, "numeric")};
  child.foreign_keys = {{.name = "child_parent_fk",
                         .columns = {1},
                         .parent = kParent,
                         .parent_columns = {0},
                         .on_delete = 'a',
                         .on_update = 'a'}};
  mapping->tables = {parent, child};
  return mapping;
}

}  // namespace switchback
