#include "watchers/sqlite/sqlite_endpoint.h"

#include <chrono>
#include <utility>

#include "state/base/deadline.h"
#include "state/base/sql_quote.h"
#include "watchers/sqlite/backup.h"
#include "watchers/sqlite/busy_wait.h"
#include "watchers/sqlite/check.h"
#include "watchers/sqlite/gate.h"
#include "watchers/sqlite/install.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/power_loss.h"
#include "watchers/sqlite/quarantine.h"
#include "watchers/sqlite/reader.h"
#include "watchers/sqlite/schema.h"
#include "watchers/sqlite/scratch.h"
#include "watchers/sqlite/sink.h"
#include "watchers/sqlite/source.h"

namespace switchback {
namespace {

constexpr std::chrono::seconds kLookPatience{10};

/// Any DDL raises it, also one that takes a trigger away and puts it back.
std::string schema_number(const std::filesystem::path& path) {
  SQLite::Database database = open_database(path, SqliteUse::kRead);
  try {
    return database.execAndGet("PRAGMA main.schema_version").getString();
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path);
  }
}

/// Of all tables: one that is new shows as well.
std::map<std::string, std::vector<std::string>> sqlite_columns(const std::filesystem::path& path) {
  std::map<std::string, std::vector<std::string>> out;
  SQLite::Database database = open_database(path, SqliteUse::kRead);
  try {
    const BusyWait patience(database.getHandle(), Deadline::in(kLookPatience));
    const SQLite::Transaction snapshot(database);
    for (const SqliteTable& table : read_schema(database)) {
      auto& columns = out[table.name];
      for (const SqliteColumn& column : table.columns) {
        columns.push_back(quote_identifier(column.name) + " " + column.declared_type);
      }
    }
    return out;
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path);
  }
}

class SqliteEndpoint final : public Endpoint {
 public:
  SqliteEndpoint(SqliteOptions options, std::shared_ptr<const Mapping> mapping)
      : options_(std::move(options)), mapping_(std::move(mapping)) {}

  std::unique_ptr<ChangeSource> make_source() override {
    return open_sqlite_source(options_.path, mapping_, options_.store, options_.spool_folder);
  }
  std::unique_ptr<ChangeSink> make_sink() override {
    return open_sqlite_sink(options_.path, mapping_, options_.store, options_.spool_folder);
  }
  std::unique_ptr<RowReader> make_reader() override {
    return open_sqlite_reader(options_.path, mapping_, options_.store);
  }
  std::unique_ptr<WriteGate> make_gate(const std::string& group) override {
    return open_sqlite_gate(options_.path, mapping_, options_.store, group);
  }
  std::vector<Finding> check() override {
    return check_sqlite(options_.path, *mapping_, options_.store);
  }
  void backup(const std::filesystem::path& name) override {
    backup_sqlite(options_.path, name.string() + ".db");
  }
  std::vector<QuarantineEntry> quarantine() override {
    return read_quarantine(options_.path, *mapping_, options_.store);
  }
  std::map<std::string, std::string> standing() override {
    return {{"the schema of " + options_.path.string(), schema_number(options_.path)}};
  }
  std::unique_ptr<Endpoint> make_scratch(const std::filesystem::path& folder) override {
    SqliteOptions options = options_;
    options.path = folder / "scratch.db";
    options.spool_folder = folder;
    make_empty_copy(options_.path, options.path);
    auto scratch = std::make_unique<SqliteEndpoint>(std::move(options), mapping_);
    scratch->install();
    return scratch;
  }
  std::map<std::string, std::vector<std::string>> columns() override {
    return sqlite_columns(options_.path);
  }
  Position renew() override { return installer().renew(); }
  std::vector<std::string> plan_install() override { return installer().plan(); }
  void install() override { installer().install(); }
  std::string removal_script() override { return installer().removal_script(); }
  void remove() override { installer().remove(); }

 private:
  SqliteInstall installer() const { return {options_.path, mapping_, options_.store}; }

  const SqliteOptions options_;
  const std::shared_ptr<const Mapping> mapping_;
};

}  // namespace

std::unique_ptr<Endpoint> open_sqlite(SqliteOptions options,
                                      std::shared_ptr<const Mapping> mapping) {
  arm_power_loss();
  return std::make_unique<SqliteEndpoint>(std::move(options), std::move(mapping));
}

}  // namespace switchback
