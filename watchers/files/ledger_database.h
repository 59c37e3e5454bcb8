// The SQLite file behind the ledger: statements that are prepared once, values that are bound by
// their type, and every failure as an Error. Only the ledger's own sources include this. One
// connection, for one thread.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "state/base/hash128.h"
#include "state/model/table_map.h"
#include "watchers/files/ledger_turns.h"

namespace switchback {

/// The rows of one query, one at a time. The statement is free again when this goes.
class LedgerRows {
 public:
  explicit LedgerRows(SQLite::Statement& statement) : statement_(&statement) {}
  LedgerRows(LedgerRows&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
  ~LedgerRows();

  bool next();
  std::int64_t integer(int column) const { return statement_->getColumn(column).getInt64(); }
  /// Unsigned 64-bit numbers are stored as their signed twins.
  std::uint64_t whole(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  TableId table(int column) const { return static_cast<TableId>(integer(column)); }
  std::string text(int column) const { return statement_->getColumn(column).getString(); }
  std::string blob(int column) const;
  /// {} if there is none.
  Hash128 hash(int column) const { return hash_or_none(column).value_or(Hash128{}); }
  std::optional<Hash128> hash_or_none(int column) const;

 private:
  SQLite::Statement* statement_;
};

class LedgerDatabase {
 public:
  /// Throws Error(kDisk).
  LedgerDatabase(const std::filesystem::path& file, bool make);

  /// `sql` must live as long as the object: it is what the statement is known by.
  template <class... Values>
  LedgerRows query(const char* sql, const Values&... values) {
    SQLite::Statement& statement = prepared(sql);
    int at = 0;
    (bind(statement, ++at, values), ...);
    return LedgerRows(statement);
  }
  template <class... Values>
  void run(const char* sql, const Values&... values) {
    auto rows = query(sql, values...);
    while (rows.next()) {
    }
  }
  void exec(const char* sql);
  /// For the ends of transactions that nothing can be done about.
  void try_exec(const char* sql) noexcept;
  std::uint64_t last_id() const;
  std::int64_t changes() const { return database_.getTotalChanges(); }
  const std::shared_ptr<LedgerTurns>& turns() const { return turns_; }

 private:
  SQLite::Statement& prepared(const char* sql);
  static void bind(SQLite::Statement& to, int at, std::int64_t value) { to.bind(at, value); }
  static void bind(SQLite::Statement& to, int at, std::uint64_t value) {
    to.bind(at, static_cast<std::int64_t>(value));
  }
  static void bind(SQLite::Statement& to, int at, std::uint16_t value) { to.bind(at, int{value}); }
  static void bind(SQLite::Statement& to, int at, bool value) { to.bind(at, value ? 1 : 0); }
  static void bind(SQLite::Statement& to, int at, TableId value) {
    to.bind(at, static_cast<int>(index(value)));
  }
  static void bind(SQLite::Statement& to, int at, const std::string& text) { to.bind(at, text); }
  static void bind(SQLite::Statement& to, int at, std::string_view blob);
  static void bind(SQLite::Statement& to, int at, const Hash128& hash);
  static void bind(SQLite::Statement& to, int at, const std::optional<Hash128>& hash);

  SQLite::Database database_;
  const std::shared_ptr<LedgerTurns> turns_;
  std::map<const char*, std::unique_ptr<SQLite::Statement>> statements_;
};

}  // namespace switchback
