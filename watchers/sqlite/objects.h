// The names of what the bridge adds to a SQLite database, and how its connections are opened. Used
// by every other file of this folder; stateless.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "state/model/position.h"

namespace switchback {

// _switchback_log(seq INTEGER PRIMARY KEY, nonce INTEGER DEFAULT (random()), tbl INTEGER, k1, k2
// …): one entry per touched key, tbl is the TableId. The first entry (tbl = -1) is written at
// install, so that there is always one to prove a position by.
inline constexpr std::string_view kLogTable = "_switchback_log";
// _switchback_gate(grp TEXT PRIMARY KEY, door TEXT, epoch INTEGER): door is 'open' or 'closed'.
inline constexpr std::string_view kGateTable = "_switchback_gate";
// _switchback_position(store TEXT PRIMARY KEY, history INTEGER, value INTEGER, proof INTEGER): what
// the reverse sink has applied. Unsigned 64-bit numbers are stored as their signed twins.
inline constexpr std::string_view kPositionTable = "_switchback_position";
// _switchback_quarantine(tbl TEXT, key TEXT, reason TEXT, since TEXT, accepted INTEGER, PRIMARY
// KEY(tbl, key)).
inline constexpr std::string_view kQuarantineTable = "_switchback_quarantine";
// _switchback_meta(name TEXT PRIMARY KEY, value): 'bridge', 'store', 'history' (the log's),
// 'format'.
inline constexpr std::string_view kMetaTable = "_switchback_meta";
inline constexpr std::string_view kTriggerPrefix = "_switchback_";

enum class SqliteUse {
  kRead,   // query_only; sees the log and the application's tables
  kWrite,  // triggers off, foreign_keys off, recursive_triggers off: no capture, no fence, no echo
};

/// Opens an existing database and pins what the bridge relies on. Never creates one and never
/// changes its journal mode. Auto-checkpoint is off on kWrite connections. Throws Error.
SQLite::Database open_database(const std::filesystem::path& path, SqliteUse use);

/// Runs `call`, turning SQLite::Exception into Error with kind, retry advice and the database's
/// name.
[[noreturn]] void throw_sqlite_error(const SQLite::Exception& error,
                                     const std::filesystem::path& path);

/// True if the database is in WAL mode.
bool in_wal_mode(SQLite::Database& database);

/// What the reverse sink has applied to `store`; {} if nothing yet. Throws SQLite::Exception.
Position read_position(SQLite::Database& database, const std::string& store);

/// What the file's own header says of WAL mode, read past SQLite's cache: an open connection does
/// not notice that the file was written over. nullopt while it has no header.
/// https://www.sqlite.org/fileformat2.html#file_format_version_numbers
std::optional<bool> file_says_wal(SQLite::Database& database);

}  // namespace switchback
