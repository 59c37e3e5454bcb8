#include "watchers/sqlite/objects.h"

#include <sqlite3.h>

#include "state/base/error.h"
#include "watchers/sqlite/busy_wait.h"

namespace switchback {

void throw_sqlite_error(const SQLite::Exception& error, const std::filesystem::path& path) {
  const int code = error.getErrorCode();
  ErrorDetail detail{.object = path.string()};
  ErrorKind kind = ErrorKind::kInternal;
  Retry retry = Retry::kNever;
  std::string what = error.what();
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      kind = ErrorKind::kBusy;
      retry = Retry::kLater;
      break;
    case SQLITE_FULL:
      kind = ErrorKind::kDisk;
      retry = Retry::kLater;
      detail.next = "free space on the disk that holds the database";
      break;
    case SQLITE_IOERR:
      kind = ErrorKind::kDisk;
      retry = Retry::kLater;
      detail.next = "look at the disk that holds the database: full, read-only or broken";
      break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      kind = ErrorKind::kRefused;
      detail.next = "run switchback as a user that may write the database and its folder";
      break;
    case SQLITE_CANTOPEN:
      if (!std::filesystem::exists(path)) what = "there is no such file";
      if (std::filesystem::is_directory(path)) what = "this is a folder, not a database";
      [[fallthrough]];
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      kind = ErrorKind::kUnreachable;
      retry = Retry::kLater;
      detail.next = "check that [store] sqlite names the application's database";
      break;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_ERROR:
    case SQLITE_SCHEMA:
      kind = ErrorKind::kData;
      break;
    default:
      break;
  }
  throw Error(kind, retry, what, std::move(detail));
}

namespace {

/// The last connection to close copies the -wal into the file. If that is another file by then,
/// because somebody wrote a copy over it, the copy would be ruined.
void pin_reader(SQLite::Database& database) {
  sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  database.exec("PRAGMA query_only = ON;");
}

void pin_writer(SQLite::Database& database) {
  // Without triggers neither capture nor fence nor the application's own triggers act on what the
  // bridge writes; ON DELETE CASCADE is no trigger, so foreign_keys must be off as well.
  sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  database.exec(
      "PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF;"
      "PRAGMA wal_autocheckpoint = 0;");
  // EXTRA also syncs the folder after a rollback journal was unlinked: with FULL a power loss may
  // bring the journal back, and the next open takes the committed transaction away again.
  database.exec("PRAGMA synchronous = EXTRA");
}

}  // namespace

SQLite::Database open_database(const std::filesystem::path& path, SqliteUse use) {
  try {
    // A reader opens read-write too: in WAL mode it must be able to make the -shm file.
    // A reading connection belongs to one thread at a time: SQLite need not lock each call on it.
    const int unlocked = use == SqliteUse::kRead ? SQLite::OPEN_NOMUTEX : 0;
    SQLite::Database database(path.string(), SQLite::OPEN_READWRITE | unlocked);
    wait_by_default(database.getHandle());
    database.exec("PRAGMA temp_store = MEMORY");
    if (use == SqliteUse::kRead) pin_reader(database);
    if (use == SqliteUse::kWrite) pin_writer(database);
    return database;
  } catch (const SQLite::Exception& error) {
    throw_sqlite_error(error, path);
  }
}

std::optional<bool> file_says_wal(SQLite::Database& database) {
  constexpr int kReadVersionAt = 19;
  sqlite3_file* file = nullptr;
  sqlite3_file_control(database.getHandle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  unsigned char version = 0;
  if (file == nullptr || file->pMethods == nullptr ||
      file->pMethods->xRead(file, &version, 1, kReadVersionAt) != SQLITE_OK) {
    return std::nullopt;
  }
  return version == 2;
}

Position read_position(SQLite::Database& database, const std::string& store) {
  SQLite::Statement read(
      database,
      fmt::format("SELECT history, value, proof FROM main.{} WHERE store = ?", kPositionTable));
  read.bind(1, store);
  if (!read.executeStep()) return {};
  return {.history = static_cast<std::uint64_t>(read.getColumn(0).getInt64()),
          .value = static_cast<std::uint64_t>(read.getColumn(1).getInt64()),
          .proof = static_cast<std::uint64_t>(read.getColumn(2).getInt64())};
}

bool in_wal_mode(SQLite::Database& database) {
  return database.execAndGet("PRAGMA journal_mode").getString() == "wal";
}

}  // namespace switchback
