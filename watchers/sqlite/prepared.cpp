#include "watchers/sqlite/prepared.h"

namespace switchback {

Prepared::Prepared(SQLite::Database& database, std::string_view sql)
    : handle_(database.getHandle()) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) throw SQLite::Exception(handle_, code);
  statement_.reset(statement);
}

bool Prepared::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  SQLite::Exception error(handle_, code);
  reset();
  throw error;
}

}  // namespace switchback
