#include "watchers/sqlite/dirty_keys.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "state/base/error.h"

namespace switchback {
namespace {

constexpr std::uint64_t kSignBit = std::uint64_t{1} << 63;

void append_number(std::uint64_t number, int bytes, std::string& out) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((number >> shift) & 0xff));
  }
}

std::string_view take_bytes(std::string_view& bytes, std::size_t size) {
  if (bytes.size() < size) throw Error(ErrorKind::kInternal, Retry::kNever, "a dirty key is cut");
  const std::string_view taken = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return taken;
}

std::uint64_t take_number(std::string_view& bytes, std::size_t size) {
  std::uint64_t number = 0;
  for (const char c : take_bytes(bytes, size)) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

[[noreturn]] void fail(const std::filesystem::path& folder, const std::string& what) {
  throw Error(ErrorKind::kDisk, Retry::kLater, "the keys of a large batch: " + what,
              {.object = folder.string(), .next = "free space on the disk of the state directory"});
}

// The file is nobody's but ours: no journal, no sync, no lock, one transaction that never ends.
SQLite::Database open_private(const std::filesystem::path& folder) {
  std::string name = (folder / "keys-XXXXXX").string();
  const int fd = ::mkstemp(name.data());
  if (fd < 0) fail(folder, std::strerror(errno));
  ::close(fd);
  try {
    SQLite::Database database(name, SQLite::OPEN_READWRITE);
    database.exec(
        "PRAGMA page_size = 4096; PRAGMA cache_size = -8192; PRAGMA journal_mode = OFF;"
        "PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; BEGIN;"
        "CREATE TABLE keys(lane INTEGER, tbl INTEGER, key BLOB, PRIMARY KEY(lane, tbl, key))"
        " WITHOUT ROWID");
    ::unlink(name.c_str());
    return database;
  } catch (const SQLite::Exception& error) {
    ::unlink(name.c_str());
    fail(folder, error.what());
  }
}

void bind(SQLite::Statement& statement, DirtyKeys::Lane lane, TableId table, std::string_view key) {
  statement.bind(1, static_cast<int>(lane));
  statement.bind(2, static_cast<int>(index(table)));
  statement.bindNoCopy(3, key.data(), static_cast<int>(key.size()));
}

}  // namespace

void encode_key(std::span<const StoredValue> key, std::string& out) {
  out.clear();
  for (const StoredValue& value : key) {
    out.push_back(static_cast<char>(value.type));
    switch (value.type) {
      case SQLITE_INTEGER:
        append_number(static_cast<std::uint64_t>(value.integer) ^ kSignBit, 8, out);
        break;
      case SQLITE_FLOAT:
        append_number(std::bit_cast<std::uint64_t>(value.real), 8, out);
        break;
      case SQLITE_TEXT:
      case SQLITE_BLOB:
        append_number(value.bytes.size(), 4, out);
        out += value.bytes;
        break;
      case SQLITE_NULL:
        break;
      default:
        throw Error(ErrorKind::kInternal, Retry::kNever, "a value of no SQLite type");
    }
  }
}

void decode_key(std::string_view bytes, std::vector<StoredValue>& key) {
  key.clear();
  while (!bytes.empty()) {
    StoredValue value;
    value.type = bytes.front();
    bytes.remove_prefix(1);
    switch (value.type) {
      case SQLITE_INTEGER:
        value.integer = static_cast<std::int64_t>(take_number(bytes, 8) ^ kSignBit);
        break;
      case SQLITE_FLOAT:
        value.real = std::bit_cast<double>(take_number(bytes, 8));
        break;
      case SQLITE_TEXT:
      case SQLITE_BLOB:
        value.bytes = take_bytes(bytes, take_number(bytes, 4));
        break;
      case SQLITE_NULL:
        break;
      default:
        throw Error(ErrorKind::kInternal, Retry::kNever, "a dirty key of no SQLite type");
    }
    key.push_back(value);
  }
}

DirtyKeys::DirtyKeys(const std::filesystem::path& folder, std::size_t tables)
    : folder_(folder), database_(open_private(folder)) {
  for (auto& counts : counts_) counts.resize(tables);
  const auto prepare = [&](const char* sql) {
    return std::make_unique<SQLite::Statement>(database_, sql);
  };
  add_ = prepare("INSERT INTO keys VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING");
  remove_ = prepare("DELETE FROM keys WHERE lane = ?1 AND tbl = ?2 AND key = ?3");
  find_ = prepare("SELECT 1 FROM keys WHERE lane = ?1 AND tbl = ?2 AND key = ?3");
  select_ = prepare("SELECT key FROM keys WHERE lane = ?1 AND tbl = ?2 ORDER BY key LIMIT ?3");
  trim_ = prepare("DELETE FROM keys WHERE lane = ?1 AND tbl = ?2 AND key <= ?3");
}

int DirtyKeys::run(SQLite::Statement& statement, Lane lane, TableId table, std::string_view key) {
  try {
    bind(statement, lane, table, key);
    const int changed = statement.exec();
    statement.reset();
    return changed;
  } catch (const SQLite::Exception& error) {
    statement.tryReset();
    fail(folder_, error.what());
  }
}

bool DirtyKeys::add(Lane lane, TableId table, std::string_view key) {
  const bool added = run(*add_, lane, table, key) != 0;
  if (added) ++count_at(lane, table);
  return added;
}

bool DirtyKeys::contains(Lane lane, TableId table, std::string_view key) {
  if (count(lane, table) == 0) return false;
  try {
    bind(*find_, lane, table, key);
    const bool found = find_->executeStep();
    find_->reset();
    return found;
  } catch (const SQLite::Exception& error) {
    find_->tryReset();
    fail(folder_, error.what());
  }
}

void DirtyKeys::remove(Lane lane, TableId table, std::string_view key) {
  if (count(lane, table) == 0) return;
  count_at(lane, table) -= static_cast<std::uint64_t>(run(*remove_, lane, table, key));
}

void DirtyKeys::take(Lane lane, TableId table, std::size_t most, std::vector<std::string>& out) {
  out.clear();
  if (count(lane, table) == 0) return;
  try {
    select_->bind(1, static_cast<int>(lane));
    select_->bind(2, static_cast<int>(index(table)));
    select_->bind(3, static_cast<std::int64_t>(most));
    while (select_->executeStep()) out.push_back(select_->getColumn(0).getString());
    select_->reset();
  } catch (const SQLite::Exception& error) {
    select_->tryReset();
    fail(folder_, error.what());
  }
  if (!out.empty()) {
    count_at(lane, table) -= static_cast<std::uint64_t>(run(*trim_, lane, table, out.back()));
  }
}

bool DirtyKeys::empty(Lane lane) const {
  const auto& counts = counts_[static_cast<std::size_t>(lane)];
  return std::all_of(counts.begin(), counts.end(), [](std::uint64_t n) { return n == 0; });
}

void DirtyKeys::clear() {
  try {
    database_.exec("DELETE FROM keys");
  } catch (const SQLite::Exception& error) {
    fail(folder_, error.what());
  }
  for (auto& counts : counts_) std::fill(counts.begin(), counts.end(), 0);
}

}  // namespace switchback
