// What switchback.toml says, as plain structs: parsed and judged once, before anything is opened.
// Whatever cannot be right is an Error(kUsage) that names file, line, key and what was expected.
// Pure but for reading the file itself; the environment comes in as a function. Called by every
// command. A Config is immutable once made.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/document_map.h"
#include "state/model/table_map.h"

namespace switchback {

/// So far all tables flip together.
inline constexpr const char* kOnlyGroup = "all";

/// [table.T.columns] c = "SOURCE" or c = { from = SOURCE, spelling = [..] }
struct ColumnConfig {
  std::string name;  // in PostgreSQL
  std::string from;  // in SQLite; equal to name if not said. Of documents: for messages
  std::vector<Spelling> spellings;
  int line = 0;
  ColumnSource source = {};  // of a table that takes from a collection
};

/// [table.T]
struct TableConfig {
  std::string schema = "public";
  std::string table;
  std::string store;      // empty for only = "postgres"
  std::string old_table;  // likewise
  Orphans orphans = Orphans::kQuarantine;
  Only only = Only::kNeither;
  std::string group = kOnlyGroup;
  std::vector<ColumnConfig> columns;
  int line = 0;

  // Of a table that takes from a collection; `old_table` is then "N:/path".
  std::string collection;  // empty: it takes from a SQLite table
  std::string path;
  std::vector<std::string> order;
  bool at_start = false;
  bool keep_deleted = false;
  std::vector<RowCondition> where;
};

/// [collection.N]; its levels and tables are the mapping builder's to fill.
struct CollectionConfig {
  Collection collection;
  int line = 0;
};

/// [store.S]
struct StoreConfig {
  std::string name;
  std::filesystem::path sqlite;
  bool all_tables = true;  // tables = "*"
  std::vector<std::string> tables;
  int line = 0;
};

enum class PostgresFrom {
  kNowhere,      // nothing says where PostgreSQL is
  kConfig,       // [postgres] url
  kDatabaseUrl,  // DATABASE_URL
  kLibpq,        // PGHOST, PGSERVICE and the like; the conninfo is empty
  kPrivate,      // [postgres] private = true: the bridge runs its own
};

struct Config {
  std::filesystem::path file;  // absolute
  std::string bridge;
  std::filesystem::path state_dir;
  std::filesystem::path run_dir;
  std::chrono::milliseconds max_pause{500};
  std::string admin_host = "127.0.0.1";  // empty: no admin server
  int admin_port = 7733;                 // 0: any free one
  bool admin_said = false;               // not said: another port will do if that one is taken
  PostgresFrom postgres_from = PostgresFrom::kNowhere;
  std::string conninfo;                         // never printed: it may hold a password
  std::optional<std::filesystem::path> schema;  // [postgres] schema
  bool drop_constraints = true;
  std::chrono::milliseconds verify_every{3'600'000};  // 0: only when asked
  std::uint64_t verify_rate = 20'000;  // rows a second of the sidecar's own comparisons; 0: any
  std::vector<StoreConfig> stores;
  std::vector<CollectionConfig> collections;  // together one more store
  std::vector<TableConfig> tables;

  /// "switchback.toml:12", for messages about a line of this file; 0 for the file as a whole.
  std::string at(int line) const;
};

/// The value of an environment variable, or nullptr.
using Environment = std::function<const char*(const char*)>;

/// Reads and judges the file. Throws Error(kUsage).
Config load_config(const std::filesystem::path& file, const Environment& environment);
/// The same for text; `file` is what relative paths and messages refer to.
Config parse_config(std::string_view text, const std::filesystem::path& file,
                    const Environment& environment);

/// Throws Error(kUsage) that lists the ways, if nothing says where PostgreSQL is.
void require_postgres(const Config& config);

}  // namespace switchback
