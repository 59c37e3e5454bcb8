#include "watchers/files/ledger_database.h"

#include <sqlite3.h>

#include <array>
#include <cstring>

#include "state/base/error.h"

namespace switchback {
namespace {

constexpr int kBusyTimeoutMs = 60'000;

[[noreturn]] void fail(const SQLite::Exception& error) {
  const bool busy = error.getErrorCode() == SQLITE_BUSY;
  throw Error(busy ? ErrorKind::kBusy : ErrorKind::kDisk, Retry::kLater,
              std::string("the ledger of the files: ") + error.what());
}

SQLite::Database open(const std::filesystem::path& file, bool make) {
  try {
    SQLite::Database database(file.string(),
                              SQLite::OPEN_READWRITE | (make ? SQLite::OPEN_CREATE : 0));
    database.setBusyTimeout(kBusyTimeoutMs);
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    return database;
  } catch (const SQLite::Exception& error) {
    fail(error);
  }
}

}  // namespace

LedgerRows::~LedgerRows() {
  // What reset() would throw was thrown by next() already.
  if (statement_ != nullptr) statement_->tryReset();
}

bool LedgerRows::next() {
  try {
    return statement_->executeStep();
  } catch (const SQLite::Exception& error) {
    fail(error);
  }
}

std::string LedgerRows::blob(int column) const {
  const SQLite::Column value = statement_->getColumn(column);
  return {static_cast<const char*>(value.getBlob()), static_cast<std::size_t>(value.size())};
}

std::optional<Hash128> LedgerRows::hash_or_none(int column) const {
  const SQLite::Column value = statement_->getColumn(column);
  if (value.size() != 16) return std::nullopt;
  Hash128 hash;
  std::memcpy(&hash.high, value.getBlob(), 8);
  std::memcpy(&hash.low, static_cast<const char*>(value.getBlob()) + 8, 8);
  return hash;
}

LedgerDatabase::LedgerDatabase(const std::filesystem::path& file, bool make)
    : database_(open(file, make)), turns_(LedgerTurns::of(file)) {}

SQLite::Statement& LedgerDatabase::prepared(const char* sql) {
  try {
    auto& kept = statements_[sql];
    if (!kept) kept = std::make_unique<SQLite::Statement>(database_, sql);
    kept->tryReset();
    kept->clearBindings();
    return *kept;
  } catch (const SQLite::Exception& error) {
    fail(error);
  }
}

void LedgerDatabase::exec(const char* sql) {
  try {
    database_.exec(sql);
  } catch (const SQLite::Exception& error) {
    fail(error);
  }
}

void LedgerDatabase::try_exec(const char* sql) noexcept {
  sqlite3_exec(database_.getHandle(), sql, nullptr, nullptr, nullptr);
}

std::uint64_t LedgerDatabase::last_id() const {
  return static_cast<std::uint64_t>(database_.getLastInsertRowid());
}

// A null pointer would be NULL rather than an empty blob.
void LedgerDatabase::bind(SQLite::Statement& to, int at, std::string_view blob) {
  to.bind(at, blob.data() != nullptr ? blob.data() : "", static_cast<int>(blob.size()));
}

void LedgerDatabase::bind(SQLite::Statement& to, int at, const Hash128& hash) {
  std::array<char, 16> raw;
  std::memcpy(raw.data(), &hash.high, 8);
  std::memcpy(raw.data() + 8, &hash.low, 8);
  to.bind(at, raw.data(), 16);
}

void LedgerDatabase::bind(SQLite::Statement& to, int at, const std::optional<Hash128>& hash) {
  if (hash) return bind(to, at, *hash);
  to.bind(at);
}

}  // namespace switchback
