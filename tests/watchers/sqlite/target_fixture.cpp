#include "tests/watchers/sqlite/target_fixture.h"

#include <stdlib.h>

#include "watchers/sqlite/gate.h"
#include "watchers/sqlite/install.h"
#include "watchers/sqlite/sink.h"

namespace switchback {
namespace {

constexpr const char* kSchema = R"(
  CREATE TABLE person(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, flag, doc TEXT,
                      at TEXT, extra TEXT DEFAULT 'kept');
  CREATE TABLE note(code TEXT, lang TEXT COLLATE NOCASE, body TEXT NOT NULL CHECK (body <> 'bad'),
                    PRIMARY KEY (code, lang)) WITHOUT ROWID;
)";

ColumnMap column(const char* name, PgType type) {
  ColumnMap made;
  made.old_name = made.name = name;
  made.type = type;
  return made;
}

TableMap table(TableId id, const char* name, std::uint16_t key_width,
               std::vector<ColumnMap> columns) {
  TableMap made;
  made.id = id;
  made.store = "app";
  made.old_table = made.table = name;
  made.schema = "public";
  made.key_width = key_width;
  made.columns = std::move(columns);
  return made;
}

}  // namespace

std::shared_ptr<const Mapping> target_mapping() {
  auto mapping = std::make_shared<Mapping>();
  mapping->bridge = "test";
  auto at = column("at", PgType::kTimestamptz);
  at.spellings = {Spelling::kIsoMsZ, Spelling::kTwitter, Spelling::kSqlite};
  mapping->tables = {table(kPerson, "person", 1,
                           {column("id", PgType::kInt4), column("name", PgType::kText),
                            column("flag", PgType::kBool), column("doc", PgType::kJsonb), at}),
                     table(kNote, "note", 2,
                           {column("code", PgType::kText), column("lang", PgType::kText),
                            column("body", PgType::kText)})};
  return mapping;
}

TargetFixture::TargetFixture(const std::string& journal_mode) : mapping_(target_mapping()) {
  {
    SQLite::Database database(path().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec("PRAGMA journal_mode = " + journal_mode);
    database.exec(kSchema);
  }
  SqliteInstall(path(), mapping_, "app").install();
}

std::unique_ptr<ChangeSink> TargetFixture::sink() const {
  return open_sqlite_sink(path(), mapping_, "app", folder_);
}

std::unique_ptr<WriteGate> TargetFixture::gate() const {
  return open_sqlite_gate(path(), mapping_, "app", "all");
}

std::unique_ptr<SQLite::Database> TargetFixture::application(int busy_ms) const {
  return std::make_unique<SQLite::Database>(path().string(), SQLite::OPEN_READWRITE, busy_ms);
}

std::string TargetFixture::ask(const std::string& sql) const {
  const auto database = application();
  SQLite::Statement query(*database, sql);
  std::string out;
  while (query.executeStep()) {
    if (!out.empty()) out += ' ';
    out += query.getColumn(0).isNull() ? "NULL" : query.getColumn(0).getString();
  }
  return out;
}

void ChunkHand::add(const std::vector<Value>& cells) {
  struct Adder {
    Chunk& chunk;
    void operator()(std::nullptr_t) const { chunk.add(Cell::null()); }
    void operator()(std::int64_t value) const { chunk.add(Cell::integer(value)); }
    void operator()(bool value) const { chunk.add(Cell::boolean(value)); }
    void operator()(const std::string& value) const {
      chunk.add(chunk.add_text(Kind::kText, value));
    }
    void operator()(const Json& value) const { chunk.add(chunk.add_text(Kind::kJson, value.text)); }
    void operator()(const At& value) const { chunk.add(Cell::timestamp(value.micros)); }
    void operator()(Unchanged) const { chunk.add(Cell::unchanged()); }
  };
  for (const auto& cell : cells) std::visit(Adder{chunk_}, cell);
}

ChunkHand& ChunkHand::upsert(TableId table, const std::vector<Value>& row) {
  add(row);
  chunk_.end_upsert(table);
  return *this;
}

ChunkHand& ChunkHand::rename(TableId table, const std::vector<Value>& old_key,
                             const std::vector<Value>& row) {
  add(old_key);
  add(row);
  chunk_.end_rename(table, static_cast<std::uint16_t>(old_key.size()));
  return *this;
}

ChunkHand& ChunkHand::remove(TableId table, const std::vector<Value>& key) {
  add(key);
  chunk_.end_delete(table);
  return *this;
}

ChunkHand& ChunkHand::truncate(TableId table) {
  chunk_.end_truncate(table);
  return *this;
}

ChunkHand& ChunkHand::misfit(TableId table, const std::vector<Value>& key,
                             const std::string& reason) {
  add(key);
  chunk_.end_misfit(table, reason);
  return *this;
}

const Chunk& ChunkHand::end(std::uint64_t position) {
  chunk_.boundary = Position{.history = 9, .value = position, .proof = 0};
  return chunk_;
}

std::int64_t operator""_i(unsigned long long value) {
  return static_cast<std::int64_t>(value);
}

std::vector<Reject> apply_batch(ChangeSink& sink, const Chunk& chunk) {
  std::vector<Reject> rejects;
  sink.apply(chunk, rejects);
  sink.commit(*chunk.boundary, rejects);
  return rejects;
}

}  // namespace switchback
