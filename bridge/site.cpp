#include "bridge/site.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "bridge/mapping_builder.h"
#include "bridge/old_store.h"
#include "replication/catalog.h"
#include "replication/meta.h"
#include "replication/postgres_endpoint.h"
#include "replication/schema_file.h"
#include "state/base/durable_file.h"

namespace switchback {
namespace {

// Primary and foreign keys are off while an initial load is under way; what it remembered of them
// completes the catalog's picture.
std::vector<DroppedKey> read_dropped(Connection& connection, const std::string& bridge) {
  if (!has_meta(connection)) return {};
  // The load keeps the whole statement that makes a key again; what follows its name is the
  // constraint's own definition, before whatever else the statement restores.
  const Result found = connection.exec(
      "SELECT (parse_ident(table_name))[1], (parse_ident(table_name))[2], name, "
      "split_part(split_part(substr(definition, 1 + length(format("
      "'ALTER TABLE %s%s ADD CONSTRAINT %I ', "
      "CASE WHEN starts_with(definition, 'ALTER TABLE ONLY ') THEN 'ONLY ' ELSE '' END, "
      "table_name, name))), '; ALTER TABLE ', 1), "
      "'; COMMENT ON ', 1) "
      "FROM switchback.dropped_object WHERE bridge = $1 AND NOT left_out AND sort IN ('p', 'f') "
      "ORDER BY table_name, position",
      {bridge});
  std::vector<DroppedKey> dropped;
  for (int row = 0; row < found.rows(); ++row) {
    dropped.push_back(
        {found.string(row, 0), found.string(row, 1), found.string(row, 2), found.string(row, 3)});
  }
  return dropped;
}

std::vector<CatalogTable> read_postgres(const Config& config, SchemaUse use) {
  Connection connection = connect(config, "setup");
  const std::string schema = read_schema_file(config);
  if (use == SchemaUse::kTry) connection.exec("BEGIN");
  if (!schema.empty()) apply_schema(connection, schema, config.schema->string());
  auto catalog = read_catalog(connection);
  catalog = overlay_dropped(std::move(catalog), read_dropped(connection, config.bridge));
  if (use == SchemaUse::kTry) connection.exec("ROLLBACK");
  return catalog;
}

}  // namespace

Connection connect(const Config& config, const std::string& use) {
  try {
    return Connection::open(config.conninfo, fmt::format("switchback {} {}", config.bridge, use));
  } catch (const Error& error) {
    if (config.postgres_from != PostgresFrom::kPrivate) throw;
    ErrorDetail detail = error.detail();
    detail.next = "`switchback run` starts the private PostgreSQL";
    throw Error(error.kind(), error.retry(), error.message(), std::move(detail));
  }
}

std::string read_schema_file(const Config& config) {
  if (!config.schema) return {};
  if (!std::filesystem::exists(*config.schema)) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "there is no such schema file",
                {.object = config.schema->string(),
                 .next = "correct [postgres] schema, or take it out if all tables exist already"});
  }
  return read_file(*config.schema);
}

Site open_site(const Config& config, SchemaUse schema) {
  require_postgres(config);
  Site site;
  site.config = config;
  site.store = old_store_name(config);
  BuiltMapping built =
      build_mapping(config, read_old_schema(config), read_postgres(config, schema));
  site.warnings = std::move(built.warnings);
  site.mapping = std::make_shared<const Mapping>(std::move(built.mapping));
  site.old_side = open_old_store(config, site.mapping, std::move(built.documents));
  site.postgres = open_postgres({.conninfo = config.conninfo,
                                 .store = site.store,
                                 .drop_constraints = config.drop_constraints},
                                site.mapping);
  return site;
}

}  // namespace switchback
