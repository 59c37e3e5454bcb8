// The ledger's file, its log, identities, the reverse flow's notes and transactions. Files, records
// and rows are in ledger_rows.cpp.
#include "watchers/files/ledger.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "watchers/files/ledger_database.h"

namespace switchback {
namespace {

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
CREATE TABLE quarantine(tbl TEXT, key TEXT, reason TEXT, since TEXT, accepted INTEGER,
  PRIMARY KEY(tbl, key)) WITHOUT ROWID;
CREATE TABLE gate(grp TEXT PRIMARY KEY, door TEXT NOT NULL, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fence(path TEXT PRIMARY KEY, mode INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE intent(id INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, before BLOB,
  any_before INTEGER NOT NULL, after BLOB);
CREATE TABLE held(collection INTEGER, path TEXT, reason TEXT NOT NULL, since TEXT NOT NULL,
  PRIMARY KEY(collection, path)) WITHOUT ROWID;
INSERT INTO meta VALUES ('history', abs(random())), ('format', 1);
INSERT INTO log(tbl, key) VALUES (-1, x'');
)";

}  // namespace

FilesLedger::FilesLedger(std::unique_ptr<LedgerDatabase> database)
    : database_(std::move(database)) {}
FilesLedger::~FilesLedger() = default;

std::unique_ptr<FilesLedger> FilesLedger::open(const std::filesystem::path& file, bool make) {
  std::error_code code;
  if (!make && !std::filesystem::exists(file, code)) {
    throw Error(ErrorKind::kHistory, Retry::kNever,
                "the ledger of the files is gone, and with it what they held when they were last "
                "looked at",
                {.object = file.string(),
                 .next = "put the state directory back; or `switchback doctor --fix` makes it anew "
                         "from the files as they are, and both sides alike"});
  }
  auto ledger = std::make_unique<FilesLedger>(std::make_unique<LedgerDatabase>(file, make));
  if (!make) return ledger;
  LedgerWrite write(*ledger);
  const bool made =
      ledger->database_->query("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").next();
  if (!made) ledger->database_->exec(kSchema);
  write.make_durable();
  return ledger;
}

// ---- the log

namespace {
constexpr const char* kEntry =
    "SELECT (SELECT value FROM meta WHERE name = 'history'), seq, nonce FROM log ";

Position position_in(LedgerRows row) {
  if (!row.next()) return {};
  return {row.whole(0), row.whole(1), row.whole(2)};
}
}  // namespace

Position FilesLedger::first() const {
  static const std::string sql = std::string(kEntry) + "ORDER BY seq LIMIT 1";
  return position_in(database_->query(sql.c_str()));
}

Position FilesLedger::last() const {
  static const std::string sql = std::string(kEntry) + "ORDER BY seq DESC LIMIT 1";
  return position_in(database_->query(sql.c_str()));
}

bool FilesLedger::holds(const Position& position) const {
  static const std::string sql = std::string(kEntry) + "WHERE seq = ?";
  return position_in(database_->query(sql.c_str(), position.value)) == position;
}

std::pair<std::int64_t, std::int64_t> FilesLedger::version() const {
  // data_version tells other connections' commits, total_changes our own.
  auto row = database_->query("PRAGMA data_version");
  row.next();
  const std::int64_t others = row.integer(0);
  return {others, database_->changes()};
}

std::vector<DirtyKey> FilesLedger::dirty(std::uint64_t seq, std::uint64_t until) const {
  auto rows = database_->query(
      "SELECT DISTINCT tbl, key FROM log WHERE seq > ? AND seq <= ? AND tbl >= 0", seq, until);
  std::vector<DirtyKey> keys;
  while (rows.next()) {
    keys.push_back({rows.table(0), rows.blob(1)});
  }
  return keys;
}

std::uint64_t FilesLedger::entries_beyond(std::uint64_t seq) const {
  auto row = database_->query("SELECT count(*) FROM log WHERE seq > ?", seq);
  row.next();
  return row.whole(0);
}

void FilesLedger::log(TableId table, std::string_view key) {
  database_->run("INSERT INTO log(tbl, key) VALUES (?, ?)", table, key);
}

void FilesLedger::begin_log() {
  database_->run("INSERT INTO log(tbl, key) VALUES (-1, x'')");
  const std::uint64_t begin = database_->last_id();
  // The key that stands for rows without one was logged when they were found, and no row has it.
  database_->run(
      "INSERT INTO log(tbl, key) SELECT tbl, key FROM rival UNION SELECT tbl, key FROM log l WHERE "
      "seq < ? AND tbl IN (SELECT tbl FROM keyless) AND NOT EXISTS (SELECT 1 FROM row r WHERE "
      "r.tbl = l.tbl AND r.key = l.key)",
      begin);
  database_->run("DELETE FROM log WHERE seq < ?", begin);
}

void FilesLedger::begin_anew() {
  database_->run("UPDATE meta SET value = abs(random()) WHERE name = 'history'");
  for (const char* sql :
       {"DELETE FROM row", "DELETE FROM rival", "DELETE FROM keyless", "DELETE FROM record",
        "DELETE FROM file", "DELETE FROM position", "DELETE FROM quarantine", "DELETE FROM held"}) {
    database_->run(sql);
  }
}

void FilesLedger::prune(std::uint64_t seq) {
  database_->run("DELETE FROM log WHERE seq < ?", seq);
}

// ---- identities

std::string FilesLedger::new_uuid() {
  if (trial_uuids_) return fmt::format("00000000-0000-4000-8000-{:012x}", ++*trial_uuids_);
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
  auto row = database_->query("SELECT value FROM serial WHERE collection = ? AND level = ?",
                              collection, level);
  return row.next() ? row.integer(0) : 0;
}

std::int64_t FilesLedger::next_serial(std::uint16_t collection, std::uint16_t level) {
  const std::int64_t next = serial(collection, level) + 1;
  raise_serial(collection, level, next);
  return next;
}

void FilesLedger::raise_serial(std::uint16_t collection, std::uint16_t level,
                               std::int64_t at_least) {
  database_->run(
      "INSERT INTO serial(collection, level, value) VALUES (?, ?, ?) ON CONFLICT(collection, "
      "level) DO UPDATE SET value = max(value, excluded.value)",
      collection, level, at_least);
}

// ---- the reverse flow

Position FilesLedger::applied() const {
  return position_in(database_->query("SELECT history, value, proof FROM position"));
}

void FilesLedger::put_applied(const Position& position) {
  database_->run("DELETE FROM position");
  database_->run("INSERT INTO position VALUES (?, ?, ?)", position.history, position.value,
                 position.proof);
}

void FilesLedger::put_quarantine(std::string_view table, std::string_view key,
                                 std::string_view reason, bool accepted) {
  database_->run(
      "INSERT INTO quarantine(tbl, key, reason, accepted, since) VALUES (?, ?, ?, ?, "
      "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) ON CONFLICT(tbl, key) DO UPDATE SET "
      "reason = excluded.reason, accepted = excluded.accepted",
      std::string(table), std::string(key), std::string(reason), accepted);
}

void FilesLedger::remove_quarantine(std::string_view table, std::string_view key) {
  database_->run("DELETE FROM quarantine WHERE tbl = ? AND key = ?", std::string(table),
                 std::string(key));
}

std::vector<QuarantineEntry> FilesLedger::quarantine() const {
  auto rows = database_->query(
      "SELECT tbl, key, reason, since, accepted FROM quarantine ORDER BY tbl, key");
  std::vector<QuarantineEntry> entries;
  while (rows.next()) {
    entries.push_back(
        {{}, rows.text(0), rows.text(1), rows.text(2), "", rows.text(3), rows.integer(4) != 0});
  }
  return entries;
}

bool FilesLedger::has_quarantine() const {
  return database_->query("SELECT 1 FROM quarantine LIMIT 1").next();
}

std::uint64_t FilesLedger::quarantined() const {
  auto row = database_->query("SELECT count(*) FROM quarantine WHERE accepted IS NOT 1");
  row.next();
  return row.whole(0);
}

std::vector<HeldFile> FilesLedger::held() const {
  auto rows = database_->query("SELECT collection, path, reason, since FROM held ORDER BY 1, 2");
  std::vector<HeldFile> held;
  while (rows.next()) {
    held.push_back(
        {static_cast<std::uint16_t>(rows.integer(0)), rows.text(1), rows.text(2), rows.text(3)});
  }
  return held;
}

void FilesLedger::put_held(std::uint16_t collection, std::string_view path,
                           std::string_view reason) {
  database_->run(
      "INSERT INTO held(collection, path, reason, since) VALUES (?, ?, ?, "
      "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) ON CONFLICT(collection, path) DO UPDATE SET "
      "reason = excluded.reason WHERE reason <> excluded.reason",
      collection, std::string(path), std::string(reason));
}

void FilesLedger::remove_held(std::uint16_t collection, std::string_view path) {
  database_->run("DELETE FROM held WHERE collection = ? AND path = ?", collection,
                 std::string(path));
}

void FilesLedger::add_intent(const FileWrite& write) {
  database_->run("INSERT INTO intent(root, path, before, any_before, after) VALUES (?, ?, ?, ?, ?)",
                 write.root.string(), write.path, write.before, write.any_before, write.after);
}

std::vector<FileWrite> FilesLedger::intents() const {
  auto rows =
      database_->query("SELECT root, path, before, any_before, after FROM intent ORDER BY id");
  std::vector<FileWrite> writes;
  while (rows.next()) {
    writes.push_back({rows.text(0), rows.text(1), rows.hash_or_none(2), rows.integer(3) != 0,
                      rows.hash_or_none(4)});
  }
  return writes;
}

void FilesLedger::clear_intents() {
  database_->run("DELETE FROM intent");
}

// ---- the gate

std::optional<GateState> FilesLedger::gate(const std::string& group) const {
  auto row = database_->query("SELECT door = 'open', epoch FROM gate WHERE grp = ?", group);
  if (!row.next()) return std::nullopt;
  return GateState{row.integer(0) != 0 ? GateState::Door::kOpen : GateState::Door::kClosed,
                   row.whole(1)};
}

void FilesLedger::put_gate(const std::string& group, const GateState& state) {
  const std::string door = state.door == GateState::Door::kOpen ? "open" : "closed";
  database_->run("INSERT OR REPLACE INTO gate(grp, door, epoch) VALUES (?, ?, ?)", group, door,
                 state.epoch);
}

std::map<std::string, mode_t> FilesLedger::fences() const {
  auto rows = database_->query("SELECT path, mode FROM fence");
  std::map<std::string, mode_t> modes;
  while (rows.next()) modes.emplace(rows.text(0), static_cast<mode_t>(rows.integer(1)));
  return modes;
}

void FilesLedger::put_fence(const std::string& path, mode_t mode) {
  database_->run("INSERT OR IGNORE INTO fence(path, mode) VALUES (?, ?)", path,
                 static_cast<std::int64_t>(mode));
}

void FilesLedger::remove_fence(const std::string& path) {
  database_->run("DELETE FROM fence WHERE path = ?", path);
}

// ---- transactions

LedgerRead::LedgerRead(FilesLedger& ledger) : ledger_(ledger) {
  ledger_.database_->exec("BEGIN");
}

LedgerRead::~LedgerRead() {
  // Nothing was written, so nothing can fail that matters.
  ledger_.database_->try_exec("ROLLBACK");
}

LedgerWrite::LedgerWrite(FilesLedger& ledger) : ledger_(ledger), turn_(ledger.database_->turns()) {
  ledger_.database_->exec("BEGIN IMMEDIATE");
}

LedgerWrite::~LedgerWrite() {
  // Nothing more can be done about a rollback that fails: SQLite has rolled back by itself.
  if (open_) ledger_.database_->try_exec("ROLLBACK");
}

void LedgerWrite::make_durable() {
  failpoint("files.ledger.commit.before");
  ledger_.database_->exec("COMMIT");
  open_ = false;
  failpoint("files.ledger.commit.after");
}

void LedgerWrite::begin_again() {
  ledger_.database_->exec("BEGIN IMMEDIATE");
  open_ = true;
}

}  // namespace switchback
