// What the ledger knows of files, records and rows.
#include <fmt/format.h>

#include <cstring>

#include "state/base/error.h"
#include "watchers/files/ledger.h"
#include "watchers/files/ledger_database.h"

namespace switchback {

static_assert(sizeof(RecordEntry) == 24, "records are stored packed");

// ---- files and records

namespace {
constexpr const char* kFileColumns =
    "SELECT id, collection, path, device, inode, size, mtime, ctime, mode, bytes FROM file ";

KnownFile file_in(const LedgerRows& row) {
  KnownFile file;
  file.id = row.integer(0);
  file.collection = static_cast<std::uint16_t>(row.integer(1));
  file.path = row.text(2);
  file.stamp = {row.whole(3),   row.whole(4),   row.integer(5),
                row.integer(6), row.integer(7), static_cast<mode_t>(row.integer(8))};
  file.bytes = row.hash(9);
  return file;
}

std::optional<KnownFile> one_file(LedgerRows row) {
  std::optional<KnownFile> file;
  if (row.next()) file = file_in(row);
  return file;
}
}  // namespace

std::vector<KnownFile> FilesLedger::files() const {
  static const std::string sql = std::string(kFileColumns) + "ORDER BY collection, path";
  auto rows = database_->query(sql.c_str());
  std::vector<KnownFile> files;
  while (rows.next()) files.push_back(file_in(rows));
  return files;
}

std::vector<KnownFile> FilesLedger::some_files(std::uint16_t collection, std::size_t limit) const {
  static const std::string sql =
      std::string(kFileColumns) + "WHERE collection = ? ORDER BY path LIMIT ?";
  auto rows = database_->query(sql.c_str(), collection, static_cast<std::int64_t>(limit));
  std::vector<KnownFile> files;
  while (rows.next()) files.push_back(file_in(rows));
  return files;
}

std::optional<KnownFile> FilesLedger::file(std::uint16_t collection, std::string_view path) const {
  static const std::string sql = std::string(kFileColumns) + "WHERE collection = ? AND path = ?";
  return one_file(database_->query(sql.c_str(), collection, std::string(path)));
}

std::optional<KnownFile> FilesLedger::file(std::int64_t id) const {
  static const std::string sql = std::string(kFileColumns) + "WHERE id = ?";
  return one_file(database_->query(sql.c_str(), id));
}

std::vector<RecordEntry> FilesLedger::records(std::int64_t file) const {
  auto row = database_->query("SELECT records FROM file WHERE id = ?", file);
  std::vector<RecordEntry> entries;
  if (!row.next()) return entries;
  const std::string packed = row.blob(0);
  entries.resize(packed.size() / sizeof(RecordEntry));
  if (entries.empty()) return entries;
  std::memcpy(entries.data(), packed.data(), entries.size() * sizeof(RecordEntry));
  return entries;
}

KnownRecord FilesLedger::record(std::uint64_t record) const {
  auto row = database_->query("SELECT mark, own_key, name, place, memory FROM record WHERE id = ?",
                              record);
  if (!row.next()) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "the ledger has lost a record");
  }
  KnownRecord known;
  known.mark = {row.hash(0), row.integer(1) != 0};
  known.name = row.text(2);
  known.place = row.integer(3);
  known.memory = RecordMemory::parse(row.blob(4));
  return known;
}

std::vector<RowMark> FilesLedger::rows(std::uint64_t record) const {
  auto row = database_->query("SELECT tbl, key, hash FROM row WHERE record = ?", record);
  std::vector<RowMark> marks;
  while (row.next()) {
    marks.push_back({row.table(0), row.blob(1), row.hash(2)});
  }
  return marks;
}

std::vector<FilesLedger::RecordHome> FilesLedger::records_after(std::uint64_t after,
                                                                std::size_t limit) const {
  auto row = database_->query("SELECT id, file FROM record WHERE id > ? ORDER BY id LIMIT ?", after,
                              static_cast<std::int64_t>(limit));
  std::vector<RecordHome> homes;
  while (row.next()) {
    homes.push_back({row.whole(0), row.integer(1)});
  }
  return homes;
}

std::uint64_t FilesLedger::count_rows(TableId table) const {
  auto row = database_->query("SELECT count(*) FROM row WHERE tbl = ?", table);
  row.next();
  return row.whole(0);
}

// ---- rows

std::optional<FilesLedger::Owner> FilesLedger::owner(TableId table, std::string_view key) const {
  auto row = database_->query(
      "SELECT r.record, c.file, r.hash FROM row r JOIN record c ON c.id = r.record WHERE r.tbl = ? "
      "AND r.key = ?",
      table, key);
  std::optional<Owner> owner;
  if (row.next()) {
    owner = {row.whole(0), row.integer(1), row.hash(2)};
  }
  return owner;
}

std::vector<std::string> FilesLedger::keys(TableId table) const {
  auto row = database_->query("SELECT key FROM row WHERE tbl = ?", table);
  std::vector<std::string> keys;
  while (row.next()) keys.push_back(row.blob(0));
  return keys;
}

std::vector<FilesLedger::Owner> FilesLedger::rivals(TableId table, std::string_view key) const {
  auto row = database_->query(
      "SELECT r.record, c.file FROM rival r JOIN record c ON c.id = r.record WHERE r.tbl = ? AND "
      "r.key = ? ORDER BY 1",
      table, key);
  std::vector<Owner> rivals;
  while (row.next()) {
    rivals.push_back({row.whole(0), row.integer(1), {}});
  }
  return rivals;
}

std::string FilesLedger::keyless(TableId table) const {
  auto row =
      database_->query("SELECT reason, count(*) OVER () FROM keyless WHERE tbl = ? LIMIT 1", table);
  std::string reason;
  if (row.next()) {
    reason = row.text(0);
    const std::int64_t count = row.integer(1);
    if (count > 1) reason += fmt::format(" (and {} more rows without a key)", count - 1);
  }
  return reason;
}

bool FilesLedger::contested() const {
  auto row =
      database_->query("SELECT EXISTS (SELECT 1 FROM rival) OR EXISTS (SELECT 1 FROM keyless)");
  row.next();
  return row.integer(0) != 0;
}

// ---- writes

std::int64_t FilesLedger::put_file(const KnownFile& file) {
  auto row = database_->query(
      "INSERT INTO file(collection, path, device, inode, size, mtime, ctime, mode, bytes) VALUES "
      "(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(collection, path) DO UPDATE SET device = "
      "excluded.device, inode = excluded.inode, size = excluded.size, mtime = excluded.mtime, "
      "ctime = excluded.ctime, mode = excluded.mode, bytes = excluded.bytes RETURNING id",
      file.collection, file.path, file.stamp.device, file.stamp.inode, file.stamp.size,
      file.stamp.mtime_ns, file.stamp.ctime_ns, static_cast<std::int64_t>(file.stamp.mode),
      file.bytes);
  row.next();
  return row.integer(0);
}

void FilesLedger::put_records(std::int64_t file, std::span<const RecordEntry> records) {
  const std::string_view packed(reinterpret_cast<const char*>(records.data()),
                                records.size() * sizeof(RecordEntry));
  database_->run("UPDATE file SET records = ? WHERE id = ?", packed, file);
}

void FilesLedger::forget_file(std::int64_t file) {
  database_->run("DELETE FROM file WHERE id = ?", file);
}

std::uint64_t FilesLedger::add_record(std::int64_t file, const KnownRecord& record) {
  database_->run(
      "INSERT INTO record(file, mark, own_key, name, place, memory) VALUES (?, ?, ?, ?, ?, ?)",
      file, record.mark.hash, record.mark.own_key, record.name, record.place,
      std::string_view(record.memory.serialize()));
  return database_->last_id();
}

void FilesLedger::update_record(std::uint64_t id, const KnownRecord& record) {
  database_->run(
      "UPDATE record SET mark = ?, own_key = ?, name = ?, place = ?, memory = ? WHERE id = ?",
      record.mark.hash, record.mark.own_key, record.name, record.place,
      std::string_view(record.memory.serialize()), id);
}

void FilesLedger::move_record(std::uint64_t record, std::int64_t file) {
  database_->run("UPDATE record SET file = ? WHERE id = ?", file, record);
}

void FilesLedger::remove_record(std::uint64_t record) {
  remove_rivals(record);
  remove_keyless(record);
  database_->run("DELETE FROM row WHERE record = ?", record);
  database_->run("DELETE FROM record WHERE id = ?", record);
}

void FilesLedger::put_row(std::uint64_t record, const RowMark& row) {
  database_->run(
      "INSERT INTO row(tbl, key, record, hash) VALUES (?, ?, ?, ?) ON CONFLICT(tbl, key) DO UPDATE "
      "SET record = excluded.record, hash = excluded.hash",
      row.table, std::string_view(row.key), record, row.row);
}

void FilesLedger::remove_row(TableId table, std::string_view key) {
  database_->run("DELETE FROM row WHERE tbl = ? AND key = ?", table, key);
}

void FilesLedger::add_rival(std::uint64_t record, TableId table, std::string_view key) {
  database_->run("INSERT OR IGNORE INTO rival(tbl, key, record) VALUES (?, ?, ?)", table, key,
                 record);
}

std::vector<DirtyKey> FilesLedger::remove_rivals(std::uint64_t record) {
  auto row = database_->query("DELETE FROM rival WHERE record = ? RETURNING tbl, key", record);
  std::vector<DirtyKey> keys;
  while (row.next()) keys.push_back({row.table(0), row.blob(1)});
  return keys;
}

void FilesLedger::put_keyless(std::uint64_t record, TableId table, std::string_view reason) {
  database_->run("INSERT OR IGNORE INTO keyless(record, tbl, reason) VALUES (?, ?, ?)", record,
                 table, std::string(reason));
}

std::vector<TableId> FilesLedger::remove_keyless(std::uint64_t record) {
  auto row = database_->query("DELETE FROM keyless WHERE record = ? RETURNING tbl", record);
  std::vector<TableId> tables;
  while (row.next()) tables.push_back(row.table(0));
  return tables;
}

void FilesLedger::distrust(std::int64_t file, std::uint64_t record) {
  auto entries = records(file);
  for (RecordEntry& entry : entries) {
    if (entry.id == record) entry.bytes = {};
  }
  put_records(file, entries);
  database_->run("UPDATE file SET inode = 0, bytes = x'' WHERE id = ?", file);
}

}  // namespace switchback
