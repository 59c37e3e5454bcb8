#include "watchers/sqlite/scratch.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "state/base/sql_quote.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

// What SQLite makes by itself has no SQL or is not to be made by hand; a virtual table's module may
// be known to the application alone, and is never mapped.
// https://www.sqlite.org/schematab.html
constexpr const char* kSchema =
    "SELECT sql FROM sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL "
    "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_switchback\\_%' ESCAPE '\\' "
    "AND tbl_name NOT LIKE '\\_switchback\\_%' ESCAPE '\\' "
    "AND sql NOT LIKE 'CREATE VIRTUAL %' ORDER BY type DESC, rowid";

}  // namespace

void make_empty_copy(const std::filesystem::path& database, const std::filesystem::path& copy) {
  try {
    SQLite::Database from = open_database(database, SqliteUse::kRead);
    SQLite::Database to(copy.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    to.exec("PRAGMA encoding = " + quote_literal(from.execAndGet("PRAGMA encoding").getString()));
    to.exec("PRAGMA synchronous = OFF");
    SQLite::Statement schema(from, kSchema);
    while (schema.executeStep()) to.exec(schema.getColumn(0).getString());
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, database);
  }
}

}  // namespace switchback
