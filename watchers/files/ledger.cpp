#include "watchers/files/ledger.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/random.h>

#include <array>
#include <cstring>
#include <map>

#include "state/base/error.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

constexpr int kBusyTimeoutMs = 60'000;

// Unsigned 64-bit numbers are stored as their signed twins.
constexpr const char* kSchema = R"(
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE file(id INTEGER PRIMARY KEY, collection INTEGER, path TEXT, device INTEGER,
  inode INTEGER, size INTEGER, mtime INTEGER, ctime INTEGER, mode INTEGER, bytes BLOB,
  records BLOB NOT NULL DEFAULT x'', UNIQUE(collection, path));
CREATE TABLE record(id INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL, mark BLOB,
  own_key INTEGER, name TEXT, place INTEGER, memory BLOB);
CREATE INDEX record_file ON record(file);
CREATE TABLE row(tbl INTEGER, key BLOB, record INTEGER NOT NULL, hash BLOB NOT NULL,
  PRIMARY KEY(tbl, key)) WITHOUT ROWID;
CREATE INDEX row_record ON row(record);
CREATE TABLE rival(tbl INTEGER, key BLOB, record INTEGER, PRIMARY KEY(tbl, key, record))
  WITHOUT ROWID;
CREATE INDEX rival_record ON rival(record);
CREATE TABLE keyless(record INTEGER, tbl INTEGER, reason TEXT, PRIMARY KEY(record, tbl, reason))
  WITHOUT ROWID;
CREATE TABLE serial(collection INTEGER, level INTEGER, value INTEGER NOT NULL,
  PRIMARY KEY(collection, level)) WITHOUT ROWID;
CREATE TABLE log(seq INTEGER PRIMARY KEY AUTOINCREMENT, nonce INTEGER NOT NULL DEFAULT (random()),
  tbl INTEGER NOT NULL, key BLOB NOT NULL);
CREATE TABLE position(history INTEGER NOT NULL, value INTEGER NOT NULL, proof INTEGER NOT NULL);
CREATE TABLE quarantine(tbl TEXT, key TEXT, reason TEXT, since TEXT, PRIMARY KEY(tbl, key))
  WITHOUT ROWID;
CREATE TABLE gate(grp TEXT PRIMARY KEY, door TEXT NOT NULL, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fence(path TEXT PRIMARY KEY, mode INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE intent(id INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, before BLOB,
  any_before INTEGER NOT NULL, after BLOB);
INSERT INTO meta VALUES ('history', abs(random())), ('format', 1);
INSERT INTO log(tbl, key) VALUES (-1, x'');
)";

using Blob16 = std::array<char, 16>;

Blob16 blob_of(const Hash128& hash) {
  Blob16 raw;
  std::memcpy(raw.data(), &hash.high, 8);
  std::memcpy(raw.data() + 8, &hash.low, 8);
  return raw;
}

Hash128 hash_from(const char* raw) {
  Hash128 hash;
  std::memcpy(&hash.high, raw, 8);
  std::memcpy(&hash.low, raw + 8, 8);
  return hash;
}

std::string bytes_of(const SQLite::Column& column) {
  return {static_cast<const char*>(column.getBlob()), static_cast<std::size_t>(column.size())};
}

Hash128 hash_in(const SQLite::Column& column) {
  if (column.size() != 16) return {};
  return hash_from(static_cast<const char*>(column.getBlob()));
}

std::int64_t twin(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

std::uint64_t untwin(const SQLite::Column& column) {
  return static_cast<std::uint64_t>(column.getInt64());
}

}  // namespace

void throw_ledger_error(const SQLite::Exception& error) {
  const bool busy = error.getErrorCode() == SQLITE_BUSY;
  throw Error(busy ? ErrorKind::kBusy : ErrorKind::kDisk, Retry::kLater,
              std::string("the ledger of the files: ") + error.what());
}

class FilesLedger::Impl {
 public:
  Impl(const std::filesystem::path& file, int flags) : database(file.string(), flags) {
    database.setBusyTimeout(kBusyTimeoutMs);
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
  }

  /// A statement of `sql` with its arguments bound; kept for the next time.
  template <class... Arguments>
  SQLite::Statement& query(const char* sql, const Arguments&... arguments) {
    auto& kept = statements_[sql];
    if (!kept) kept = std::make_unique<SQLite::Statement>(database, sql);
    kept->reset();
    kept->clearBindings();
    int at = 0;
    (bind(*kept, ++at, arguments), ...);
    return *kept;
  }
  template <class... Arguments>
  void run(const char* sql, const Arguments&... arguments) {
    auto& statement = query(sql, arguments...);
    statement.exec();
    statement.reset();
  }

  mutable SQLite::Database database;

 private:
  static void bind(SQLite::Statement& to, int at, std::int64_t value) { to.bind(at, value); }
  static void bind(SQLite::Statement& to, int at, const Blob16& value) {
    to.bind(at, value.data(), 16);
  }
  static void bind(SQLite::Statement& to, int at, const std::string& text) { to.bind(at, text); }
  static void bind(SQLite::Statement& to, int at, std::string_view blob) {
    // A null pointer would be NULL rather than an empty blob.
    to.bind(at, blob.data() != nullptr ? blob.data() : "", static_cast<int>(blob.size()));
  }

  std::map<const char*, std::unique_ptr<SQLite::Statement>> statements_;
};

FilesLedger::FilesLedger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FilesLedger::~FilesLedger() = default;

std::unique_ptr<FilesLedger> FilesLedger::open(const std::filesystem::path& file, bool make) {
  std::error_code code;
  if (!make && !std::filesystem::exists(file, code)) {
    throw Error(ErrorKind::kHistory, Retry::kNever,
                "the ledger of the files is gone, and with it what they held when they were last "
                "looked at",
                {.object = file.string(), .next = "put the state directory back"});
  }
  try {
    std::unique_ptr<FilesLedger> ledger(new FilesLedger(
        std::make_unique<Impl>(file, SQLite::OPEN_READWRITE | (make ? SQLite::OPEN_CREATE : 0))));
    if (make && !ledger->impl_->database.tableExists("meta")) {
      LedgerWrite write(*ledger);
      if (!ledger->impl_->database.tableExists("meta")) ledger->impl_->database.exec(kSchema);
      write.commit();
    }
    return ledger;
  } catch (const SQLite::Exception& error) {
    throw_ledger_error(error);
  }
}

SQLite::Database& FilesLedger::database() {
  return impl_->database;
}

// ---- the log

namespace {
constexpr const char* kEntry =
    "SELECT (SELECT value FROM meta WHERE name = 'history'), seq, nonce FROM log ";

Position position_in(SQLite::Statement& row) {
  Position position;
  if (row.executeStep()) {
    position = {untwin(row.getColumn(0)), untwin(row.getColumn(1)), untwin(row.getColumn(2))};
  }
  row.reset();
  return position;
}
}  // namespace

Position FilesLedger::first() const {
  static const std::string sql = std::string(kEntry) + "ORDER BY seq LIMIT 1";
  return position_in(impl_->query(sql.c_str()));
}

Position FilesLedger::last() const {
  static const std::string sql = std::string(kEntry) + "ORDER BY seq DESC LIMIT 1";
  return position_in(impl_->query(sql.c_str()));
}

bool FilesLedger::holds(const Position& position) const {
  static const std::string sql = std::string(kEntry) + "WHERE seq = ?";
  return position_in(impl_->query(sql.c_str(), twin(position.value))) == position;
}

std::pair<std::int64_t, std::int64_t> FilesLedger::version() const {
  // data_version tells other connections' commits, total_changes our own.
  auto& row = impl_->query("PRAGMA data_version");
  row.executeStep();
  const std::int64_t others = row.getColumn(0).getInt64();
  row.reset();
  return {others, impl_->database.getTotalChanges()};
}

std::vector<DirtyKey> FilesLedger::dirty(std::uint64_t seq, std::uint64_t until) const {
  auto& rows =
      impl_->query("SELECT DISTINCT tbl, key FROM log WHERE seq > ? AND seq <= ? AND tbl >= 0",
                   twin(seq), twin(until));
  std::vector<DirtyKey> keys;
  while (rows.executeStep()) {
    keys.push_back({static_cast<TableId>(rows.getColumn(0).getInt()), bytes_of(rows.getColumn(1))});
  }
  rows.reset();
  return keys;
}

std::uint64_t FilesLedger::entries_beyond(std::uint64_t seq) const {
  auto& row = impl_->query("SELECT count(*) FROM log WHERE seq > ?", twin(seq));
  row.executeStep();
  const std::uint64_t count = untwin(row.getColumn(0));
  row.reset();
  return count;
}

void FilesLedger::log(TableId table, std::string_view key) {
  impl_->run("INSERT INTO log(tbl, key) VALUES (?, ?)", static_cast<std::int64_t>(index(table)),
             key);
}

void FilesLedger::begin_log() {
  impl_->run("DELETE FROM log");
  impl_->run("INSERT INTO log(tbl, key) VALUES (-1, x'')");
  impl_->run("INSERT INTO log(tbl, key) SELECT DISTINCT tbl, key FROM rival");
}

void FilesLedger::prune(std::uint64_t seq) {
  impl_->run("DELETE FROM log WHERE seq < ?", twin(seq));
}

// ---- files and records

namespace {
constexpr const char* kFileColumns =
    "SELECT id, collection, path, device, inode, size, mtime, ctime, mode, bytes FROM file ";

KnownFile file_in(SQLite::Statement& row) {
  KnownFile file;
  file.id = row.getColumn(0).getInt64();
  file.collection = static_cast<std::uint16_t>(row.getColumn(1).getInt());
  file.path = row.getColumn(2).getString();
  file.stamp = {untwin(row.getColumn(3)),    untwin(row.getColumn(4)),
                row.getColumn(5).getInt64(), row.getColumn(6).getInt64(),
                row.getColumn(7).getInt64(), static_cast<mode_t>(row.getColumn(8).getUInt())};
  file.bytes = hash_in(row.getColumn(9));
  return file;
}

std::optional<KnownFile> one_file(SQLite::Statement& row) {
  std::optional<KnownFile> file;
  if (row.executeStep()) file = file_in(row);
  row.reset();
  return file;
}
}  // namespace

std::vector<KnownFile> FilesLedger::files() const {
  static const std::string sql = std::string(kFileColumns) + "ORDER BY collection, path";
  auto& rows = impl_->query(sql.c_str());
  std::vector<KnownFile> files;
  while (rows.executeStep()) files.push_back(file_in(rows));
  rows.reset();
  return files;
}

std::optional<KnownFile> FilesLedger::file(std::uint16_t collection, std::string_view path) const {
  static const std::string sql = std::string(kFileColumns) + "WHERE collection = ? AND path = ?";
  return one_file(
      impl_->query(sql.c_str(), static_cast<std::int64_t>(collection), std::string(path)));
}

std::optional<KnownFile> FilesLedger::file(std::int64_t id) const {
  static const std::string sql = std::string(kFileColumns) + "WHERE id = ?";
  return one_file(impl_->query(sql.c_str(), id));
}

std::vector<RecordEntry> FilesLedger::records(std::int64_t file) const {
  auto& row = impl_->query("SELECT records FROM file WHERE id = ?", file);
  std::vector<RecordEntry> entries;
  if (row.executeStep()) {
    const SQLite::Column column = row.getColumn(0);
    const char* at = static_cast<const char*>(column.getBlob());
    entries.resize(static_cast<std::size_t>(column.size()) / 24);
    for (RecordEntry& entry : entries) {
      entry.bytes = hash_from(at);
      std::memcpy(&entry.id, at + 16, 8);
      at += 24;
    }
  }
  row.reset();
  return entries;
}

KnownRecord FilesLedger::record(std::uint64_t record) const {
  auto& row = impl_->query("SELECT mark, own_key, name, place, memory FROM record WHERE id = ?",
                           twin(record));
  if (!row.executeStep()) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "the ledger has lost a record");
  }
  KnownRecord known;
  known.mark = {hash_in(row.getColumn(0)), row.getColumn(1).getInt() != 0};
  known.name = row.getColumn(2).getString();
  known.place = row.getColumn(3).getInt64();
  known.memory = RecordMemory::parse(bytes_of(row.getColumn(4)));
  row.reset();
  return known;
}

std::vector<RowMark> FilesLedger::rows(std::uint64_t record) const {
  auto& row = impl_->query("SELECT tbl, key, hash FROM row WHERE record = ?", twin(record));
  std::vector<RowMark> marks;
  while (row.executeStep()) {
    marks.push_back({static_cast<TableId>(row.getColumn(0).getInt()), bytes_of(row.getColumn(1)),
                     hash_in(row.getColumn(2))});
  }
  row.reset();
  return marks;
}

std::vector<FilesLedger::RecordHome> FilesLedger::records_after(std::uint64_t after,
                                                                std::size_t limit) const {
  auto& row = impl_->query("SELECT id, file FROM record WHERE id > ? ORDER BY id LIMIT ?",
                           twin(after), static_cast<std::int64_t>(limit));
  std::vector<RecordHome> homes;
  while (row.executeStep()) {
    homes.push_back({untwin(row.getColumn(0)), row.getColumn(1).getInt64()});
  }
  row.reset();
  return homes;
}

std::uint64_t FilesLedger::count_rows(TableId table) const {
  auto& row = impl_->query("SELECT count(*) FROM row WHERE tbl = ?",
                           static_cast<std::int64_t>(index(table)));
  row.executeStep();
  const std::uint64_t count = untwin(row.getColumn(0));
  row.reset();
  return count;
}

// ---- rows

std::optional<FilesLedger::Owner> FilesLedger::owner(TableId table, std::string_view key) const {
  auto& row = impl_->query(
      "SELECT r.record, c.file, r.hash FROM row r JOIN record c ON c.id = r.record WHERE r.tbl = ? "
      "AND r.key = ?",
      static_cast<std::int64_t>(index(table)), key);
  std::optional<Owner> owner;
  if (row.executeStep()) {
    owner = {untwin(row.getColumn(0)), row.getColumn(1).getInt64(), hash_in(row.getColumn(2))};
  }
  row.reset();
  return owner;
}

std::vector<std::string> FilesLedger::keys(TableId table) const {
  auto& row =
      impl_->query("SELECT key FROM row WHERE tbl = ?", static_cast<std::int64_t>(index(table)));
  std::vector<std::string> keys;
  while (row.executeStep()) keys.push_back(bytes_of(row.getColumn(0)));
  row.reset();
  return keys;
}

std::vector<FilesLedger::Owner> FilesLedger::rivals(TableId table, std::string_view key) const {
  auto& row = impl_->query(
      "SELECT r.record, c.file FROM rival r JOIN record c ON c.id = r.record WHERE r.tbl = ? AND "
      "r.key = ? ORDER BY 1",
      static_cast<std::int64_t>(index(table)), key);
  std::vector<Owner> rivals;
  while (row.executeStep()) {
    rivals.push_back({untwin(row.getColumn(0)), row.getColumn(1).getInt64(), {}});
  }
  row.reset();
  return rivals;
}

std::string FilesLedger::keyless(TableId table) const {
  auto& row = impl_->query("SELECT reason, count(*) OVER () FROM keyless WHERE tbl = ? LIMIT 1",
                           static_cast<std::int64_t>(index(table)));
  std::string reason;
  if (row.executeStep()) {
    reason = row.getColumn(0).getString();
    const std::int64_t count = row.getColumn(1).getInt64();
    if (count > 1) reason += fmt::format(" (and {} more rows without a key)", count - 1);
  }
  row.reset();
  return reason;
}

bool FilesLedger::contested() const {
  auto& row = impl_->query("SELECT EXISTS (SELECT 1 FROM rival) OR EXISTS (SELECT 1 FROM keyless)");
  row.executeStep();
  const bool any = row.getColumn(0).getInt() != 0;
  row.reset();
  return any;
}

// ---- writes

std::int64_t FilesLedger::put_file(const KnownFile& file) {
  auto& row = impl_->query(
      "INSERT INTO file(collection, path, device, inode, size, mtime, ctime, mode, bytes) VALUES "
      "(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(collection, path) DO UPDATE SET device = "
      "excluded.device, inode = excluded.inode, size = excluded.size, mtime = excluded.mtime, "
      "ctime = excluded.ctime, mode = excluded.mode, bytes = excluded.bytes RETURNING id",
      static_cast<std::int64_t>(file.collection), file.path, twin(file.stamp.device),
      twin(file.stamp.inode), file.stamp.size, file.stamp.mtime_ns, file.stamp.ctime_ns,
      static_cast<std::int64_t>(file.stamp.mode), blob_of(file.bytes));
  row.executeStep();
  const std::int64_t id = row.getColumn(0).getInt64();
  row.reset();
  return id;
}

void FilesLedger::put_records(std::int64_t file, std::span<const RecordEntry> records) {
  std::string packed(records.size() * 24, '\0');
  char* at = packed.data();
  for (const RecordEntry& entry : records) {
    const Blob16 hash = blob_of(entry.bytes);
    std::memcpy(at, hash.data(), 16);
    std::memcpy(at + 16, &entry.id, 8);
    at += 24;
  }
  impl_->run("UPDATE file SET records = ? WHERE id = ?", std::string_view(packed), file);
}

void FilesLedger::forget_file(std::int64_t file) {
  impl_->run("DELETE FROM file WHERE id = ?", file);
}

std::uint64_t FilesLedger::add_record(std::int64_t file, const KnownRecord& record) {
  impl_->run(
      "INSERT INTO record(file, mark, own_key, name, place, memory) VALUES (?, ?, ?, ?, ?, ?)",
      file, blob_of(record.mark.hash), static_cast<std::int64_t>(record.mark.own_key), record.name,
      record.place, std::string_view(record.memory.serialize()));
  return static_cast<std::uint64_t>(impl_->database.getLastInsertRowid());
}

void FilesLedger::update_record(std::uint64_t id, const KnownRecord& record) {
  impl_->run(
      "UPDATE record SET mark = ?, own_key = ?, name = ?, place = ?, memory = ? WHERE id = ?",
      blob_of(record.mark.hash), static_cast<std::int64_t>(record.mark.own_key), record.name,
      record.place, std::string_view(record.memory.serialize()), twin(id));
}

void FilesLedger::move_record(std::uint64_t record, std::int64_t file) {
  impl_->run("UPDATE record SET file = ? WHERE id = ?", file, twin(record));
}

void FilesLedger::remove_record(std::uint64_t record) {
  remove_rivals(record);
  remove_keyless(record);
  impl_->run("DELETE FROM row WHERE record = ?", twin(record));
  impl_->run("DELETE FROM record WHERE id = ?", twin(record));
}

void FilesLedger::put_row(std::uint64_t record, const RowMark& row) {
  impl_->run(
      "INSERT INTO row(tbl, key, record, hash) VALUES (?, ?, ?, ?) ON CONFLICT(tbl, key) DO UPDATE "
      "SET record = excluded.record, hash = excluded.hash",
      static_cast<std::int64_t>(index(row.table)), std::string_view(row.key), twin(record),
      blob_of(row.row));
}

void FilesLedger::remove_row(TableId table, std::string_view key) {
  impl_->run("DELETE FROM row WHERE tbl = ? AND key = ?", static_cast<std::int64_t>(index(table)),
             key);
}

void FilesLedger::add_rival(std::uint64_t record, TableId table, std::string_view key) {
  impl_->run("INSERT OR IGNORE INTO rival(tbl, key, record) VALUES (?, ?, ?)",
             static_cast<std::int64_t>(index(table)), key, twin(record));
}

void FilesLedger::remove_rivals(std::uint64_t record) {
  impl_->run("DELETE FROM rival WHERE record = ?", twin(record));
}

void FilesLedger::put_keyless(std::uint64_t record, TableId table, std::string_view reason) {
  impl_->run("INSERT OR IGNORE INTO keyless(record, tbl, reason) VALUES (?, ?, ?)", twin(record),
             static_cast<std::int64_t>(index(table)), std::string(reason));
}

void FilesLedger::remove_keyless(std::uint64_t record) {
  impl_->run("DELETE FROM keyless WHERE record = ?", twin(record));
}

void FilesLedger::distrust(std::int64_t file, std::uint64_t record) {
  auto entries = records(file);
  for (RecordEntry& entry : entries) {
    if (entry.id == record) entry.bytes = {};
  }
  put_records(file, entries);
  impl_->run("UPDATE file SET inode = 0, bytes = x'' WHERE id = ?", file);
}

void FilesLedger::distrust_all(std::int64_t file) {
  auto entries = records(file);
  for (RecordEntry& entry : entries) entry.bytes = {};
  put_records(file, entries);
  impl_->run("UPDATE row SET hash = x'' WHERE record IN (SELECT id FROM record WHERE file = ?)",
             file);
  impl_->run("UPDATE file SET inode = 0, bytes = x'' WHERE id = ?", file);
}

// ---- identities

std::string FilesLedger::new_uuid() {
  std::array<unsigned char, 16> raw{};
  if (::getrandom(raw.data(), raw.size(), 0) != static_cast<ssize_t>(raw.size())) {
    throw Error(ErrorKind::kInternal, Retry::kLater, "the system gives no random numbers");
  }
  // RFC 9562, version 4.
  raw[6] = static_cast<unsigned char>((raw[6] & 0x0f) | 0x40);
  raw[8] = static_cast<unsigned char>((raw[8] & 0x3f) | 0x80);
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", raw[i]);
  }
  return out;
}

std::int64_t FilesLedger::serial(std::uint16_t collection, std::uint16_t level) const {
  auto& row = impl_->query("SELECT value FROM serial WHERE collection = ? AND level = ?",
                           static_cast<std::int64_t>(collection), static_cast<std::int64_t>(level));
  const std::int64_t value = row.executeStep() ? row.getColumn(0).getInt64() : 0;
  row.reset();
  return value;
}

std::int64_t FilesLedger::next_serial(std::uint16_t collection, std::uint16_t level) {
  const std::int64_t next = serial(collection, level) + 1;
  raise_serial(collection, level, next);
  return next;
}

void FilesLedger::raise_serial(std::uint16_t collection, std::uint16_t level,
                               std::int64_t at_least) {
  impl_->run(
      "INSERT INTO serial(collection, level, value) VALUES (?, ?, ?) ON CONFLICT(collection, "
      "level) DO UPDATE SET value = max(value, excluded.value)",
      static_cast<std::int64_t>(collection), static_cast<std::int64_t>(level), at_least);
}

// ---- the reverse flow

Position FilesLedger::applied() const {
  return position_in(impl_->query("SELECT history, value, proof FROM position"));
}

void FilesLedger::put_applied(const Position& position) {
  impl_->run("DELETE FROM position");
  impl_->run("INSERT INTO position VALUES (?, ?, ?)", twin(position.history), twin(position.value),
             twin(position.proof));
}

void FilesLedger::put_quarantine(std::string_view table, std::string_view key,
                                 std::string_view reason) {
  impl_->run("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, datetime('now'))",
             std::string(table), std::string(key), std::string(reason));
}

void FilesLedger::remove_quarantine(std::string_view table, std::string_view key) {
  impl_->run("DELETE FROM quarantine WHERE tbl = ? AND key = ?", std::string(table),
             std::string(key));
}

std::uint64_t FilesLedger::quarantined() const {
  auto& row = impl_->query("SELECT count(*) FROM quarantine");
  row.executeStep();
  const std::uint64_t count = untwin(row.getColumn(0));
  row.reset();
  return count;
}

// ---- transactions

LedgerRead::LedgerRead(FilesLedger& ledger) : ledger_(ledger) {
  try {
    ledger_.impl_->database.exec("BEGIN");
  } catch (const SQLite::Exception& error) {
    throw_ledger_error(error);
  }
}

LedgerRead::~LedgerRead() {
  // Nothing was written, so nothing can fail that matters.
  sqlite3_exec(ledger_.impl_->database.getHandle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

LedgerWrite::LedgerWrite(FilesLedger& ledger) : ledger_(ledger) {
  try {
    ledger_.impl_->database.exec("BEGIN IMMEDIATE");
  } catch (const SQLite::Exception& error) {
    throw_ledger_error(error);
  }
}

LedgerWrite::~LedgerWrite() {
  if (!open_) return;
  // Nothing more can be done about a rollback that fails: SQLite has rolled back by itself.
  sqlite3_exec(ledger_.impl_->database.getHandle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void LedgerWrite::commit() {
  try {
    failpoint("files.ledger.commit.before");
    ledger_.impl_->database.exec("COMMIT");
    open_ = false;
    failpoint("files.ledger.commit.after");
  } catch (const SQLite::Exception& error) {
    throw_ledger_error(error);
  }
}

}  // namespace switchback
