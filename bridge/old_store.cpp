#include "bridge/old_store.h"

#include <fmt/format.h>

#include <utility>

#include "state/base/error.h"
#include "watchers/files/files_endpoint.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/schema.h"
#include "watchers/sqlite/sqlite_endpoint.h"

namespace switchback {
namespace {

bool has_files(const Config& config) {
  return !config.collections.empty();
}

std::filesystem::path ledger_of(const Config& config) {
  return config.state_dir / "files.ledger";
}

}  // namespace

std::string old_store_name(const Config& config) {
  for (const TableConfig& table : config.tables) {
    if (table.group == kOnlyGroup) continue;
    throw Error(ErrorKind::kUsage, Retry::kNever,
                fmt::format("[table.{}] group: a bridge flips all its tables together, as \"{}\"",
                            table.table, kOnlyGroup),
                {.object = config.file.string(),
                 .next = "take the line out, or give the table a bridge of its own"});
  }
  const std::size_t stores = config.stores.size() + (has_files(config) ? 1 : 0);
  if (stores == 1) return has_files(config) ? DocumentMap().store : config.stores.front().name;
  throw Error(ErrorKind::kUsage, Retry::kNever,
              fmt::format("{} stores are configured{}; this version bridges exactly one", stores,
                          has_files(config) ? " (all collections are one)" : ""),
              {.object = config.file.string(), .next = "run one bridge per store"});
}

std::filesystem::path old_store_place(const Config& config) {
  return has_files(config) ? config.collections.front().collection.root
                           : config.stores.front().sqlite;
}

std::string old_store_missing(const Config& config) {
  std::error_code code;
  if (std::filesystem::exists(old_store_place(config), code)) return "";
  return "there is no such file or folder";
}

Side side_of(const Error& error) {
  const std::string& object = error.detail().object;
  const bool postgres =
      object == "PostgreSQL" || object == "replication stream" || object.starts_with("slot ");
  return postgres ? Side::kPostgres : Side::kOld;
}

std::vector<StoreSchema> read_old_schema(const Config& config) {
  std::vector<StoreSchema> schemas;
  for (const StoreConfig& store : config.stores) {
    SQLite::Database database = open_database(store.sqlite, SqliteUse::kRead);
    try {
      schemas.push_back({store.name, read_schema(database)});
    } catch (const SQLite::Exception& error) {
      throw_sqlite_error(error, store.sqlite);
    }
  }
  return schemas;
}

std::unique_ptr<Endpoint> open_old_store(const Config& config,
                                         std::shared_ptr<const Mapping> mapping,
                                         DocumentMap documents) {
  if (has_files(config)) {
    return open_files({.ledger = ledger_of(config), .spool_folder = config.state_dir},
                      std::move(mapping),
                      std::make_shared<const DocumentMap>(std::move(documents)));
  }
  const StoreConfig& store = config.stores.front();
  return open_sqlite({.path = store.sqlite, .store = store.name, .spool_folder = config.state_dir},
                     std::move(mapping));
}

}  // namespace switchback
