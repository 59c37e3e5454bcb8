// What the bridge knows of a store of files: which records each file held when it was last looked
// at, which rows they made, and the identities made up for them. A SQLite file of our own in the
// state directory. It also holds what a database would write by its triggers: a log of the keys of
// rows that a scan found unlike. A log entry is the store's position, so that sources read files
// as they read SQLite: the keys beyond a position, and each key's row as the ledger knows it. The
// sink writes down what it wrote without logging it: nothing comes back as an echo.
//
// Each object is one connection for one thread; several may be open. Whoever scans or writes holds
// the write lock meanwhile (LedgerWrite), the others wait for it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "state/base/hash128.h"
#include "state/model/phase.h"
#include "state/model/position.h"
#include "state/model/table_map.h"
#include "state/ports/endpoint.h"
#include "watchers/files/file_read.h"
#include "watchers/files/ledger_turns.h"
#include "watchers/files/memory.h"

namespace switchback {

/// A row's table and key (row_key.h).
using LedgerKey = std::pair<TableId, std::string>;

/// One row a record makes: what must be deleted when the record goes.
struct RowMark {
  TableId table{};
  std::string key;  // row_key.h
  Hash128 row;      // of the whole row: unlike means changed
};

/// A record in its place in the file.
struct RecordEntry {
  Hash128 bytes;         // as it stands in the file
  std::uint64_t id = 0;  // in the ledger
};

struct KnownRecord {
  Mark mark;         // Lens::mark()
  std::string name;  // in a map
  std::int64_t place = 0;
  RecordMemory memory;
};

struct KnownFile {
  std::int64_t id = 0;  // in the ledger
  std::uint16_t collection = 0;
  std::string path;  // below the collection's root
  FileStamp stamp;   // {}: the file must be read to know whether it changed
  Hash128 bytes;     // of the whole file
};

/// A file's replacement that is to happen whatever comes between.
struct FileWrite {
  std::filesystem::path root;
  std::string path;                    // below root
  std::optional<Hash128> before = {};  // nullopt: there is none
  bool any_before = false;             // a copy: whatever is there is replaced
  std::optional<Hash128> after = {};   // nullopt: the file goes
};

/// A file whose change is kept back until a person lets it through.
struct HeldFile {
  std::uint16_t collection = 0;
  std::string path;  // below the collection's root
  std::string reason;
  std::string since;  // UTC, ISO 8601
};

struct DirtyKey {
  TableId table{};
  std::string key;
};

class LedgerDatabase;

class FilesLedger final : public Identities {
 public:
  /// Opens the file; makes it, and a new history, if there is none and `make` says so. Throws
  /// Error(kDisk), or Error(kHistory) if it is not there.
  static std::unique_ptr<FilesLedger> open(const std::filesystem::path& file, bool make);
  explicit FilesLedger(std::unique_ptr<LedgerDatabase> database);
  ~FilesLedger() override;

  // ---- the log
  Position first() const;
  Position last() const;
  bool holds(const Position& position) const;
  /// Another number whenever anything in the ledger has changed.
  std::pair<std::int64_t, std::int64_t> version() const;
  /// Distinct keys of the entries beyond `seq`, up to `until`.
  std::vector<DirtyKey> dirty(std::uint64_t seq, std::uint64_t until) const;
  std::uint64_t entries_beyond(std::uint64_t seq) const;

  // ---- files and records
  std::vector<KnownFile> files() const;
  /// At most so many of a collection's.
  std::vector<KnownFile> some_files(std::uint16_t collection, std::size_t limit) const;
  std::optional<KnownFile> file(std::uint16_t collection, std::string_view path) const;
  std::optional<KnownFile> file(std::int64_t id) const;
  std::vector<RecordEntry> records(std::int64_t file) const;
  KnownRecord record(std::uint64_t record) const;
  std::vector<RowMark> rows(std::uint64_t record) const;

  /// The next records beyond `after`, in the order they became known.
  struct RecordHome {
    std::uint64_t record = 0;
    std::int64_t file = 0;
  };
  std::vector<RecordHome> records_after(std::uint64_t after, std::size_t limit) const;
  std::uint64_t count_rows(TableId table) const;

  // ---- rows
  struct Owner {
    std::uint64_t record = 0;
    std::int64_t file = 0;
    Hash128 row;
  };
  std::optional<Owner> owner(TableId table, std::string_view key) const;
  std::vector<std::string> keys(TableId table) const;
  /// Other records that claim the same key.
  std::vector<Owner> rivals(TableId table, std::string_view key) const;
  /// What is known of rows of the table that have no key; empty if there are none.
  std::string keyless(TableId table) const;
  /// Whether any record has a row without a key or a key that another has.
  bool contested() const;

  // ---- inside a LedgerWrite
  std::int64_t put_file(const KnownFile& file);
  void put_records(std::int64_t file, std::span<const RecordEntry> records);
  void forget_file(std::int64_t file);  // its records must have been removed
  std::uint64_t add_record(std::int64_t file, const KnownRecord& record);
  void update_record(std::uint64_t id, const KnownRecord& record);
  void move_record(std::uint64_t record, std::int64_t file);
  /// With its rows, claims and keyless rows.
  void remove_record(std::uint64_t record);
  void put_row(std::uint64_t record, const RowMark& row);
  void remove_row(TableId table, std::string_view key);
  void add_rival(std::uint64_t record, TableId table, std::string_view key);
  /// The keys that the record claimed, which the rest may now have for themselves.
  std::vector<DirtyKey> remove_rivals(std::uint64_t record);
  void put_keyless(std::uint64_t record, TableId table, std::string_view reason);
  /// The tables of those rows.
  std::vector<TableId> remove_keyless(std::uint64_t record);
  /// The file is read and its records compared anew by the next scan, whatever its stamp says.
  void distrust(std::int64_t file, std::uint64_t record);
  void log(TableId table, std::string_view key);
  /// Forgets all but the gate, the fences and the counters; another history begins.
  void begin_anew();
  /// The log begins anew: nothing but what is contested or has no key is in it.
  void begin_log();
  /// Entries before `seq` go.
  void prune(std::uint64_t seq);

  // ---- files that are held back
  std::vector<HeldFile> held() const;
  /// Inside a LedgerWrite, as are those that follow.
  void put_held(std::uint16_t collection, std::string_view path, std::string_view reason);
  void remove_held(std::uint16_t collection, std::string_view path);

  // ---- identities, inside a LedgerWrite
  std::string new_uuid() override;
  std::int64_t next_serial(std::uint16_t collection, std::uint16_t level) override;
  void raise_serial(std::uint16_t collection, std::uint16_t level, std::int64_t at_least);
  std::int64_t serial(std::uint16_t collection, std::uint16_t level) const;

  // ---- the reverse flow
  /// What the sink has applied; {} if nothing.
  Position applied() const;
  void put_applied(const Position& position);
  void put_quarantine(std::string_view table, std::string_view key, std::string_view reason,
                      bool accepted = false);
  void remove_quarantine(std::string_view table, std::string_view key);
  std::vector<QuarantineEntry> quarantine() const;  // without TableIds
  bool has_quarantine() const;
  std::uint64_t quarantined() const;  // not accepted

  void add_intent(const FileWrite& write);
  std::vector<FileWrite> intents() const;
  void clear_intents();

  // ---- the gate
  std::optional<GateState> gate(const std::string& group) const;
  void put_gate(const std::string& group, const GateState& state);
  /// Absolute paths that the fence made read-only, with their mode before.
  std::map<std::string, mode_t> fences() const;
  /// Keeps the mode that is noted already.
  void put_fence(const std::string& path, mode_t mode);
  void remove_fence(const std::string& path);

 private:
  friend class LedgerRead;
  friend class LedgerWrite;
  friend class LedgerTrial;
  const std::unique_ptr<LedgerDatabase> database_;
  std::optional<std::uint64_t> trial_uuids_;  // made up so far
};

/// One snapshot of the ledger for as long as it lives.
class LedgerRead {
 public:
  explicit LedgerRead(FilesLedger& ledger);
  ~LedgerRead();
  LedgerRead(const LedgerRead&) = delete;
  LedgerRead& operator=(const LedgerRead&) = delete;

 private:
  FilesLedger& ledger_;
};

/// The write lock, and one transaction: undone unless make_durable() is reached. Throws
/// Error(kBusy) if another holds the lock for too long.
class LedgerWrite {
 public:
  explicit LedgerWrite(FilesLedger& ledger);
  ~LedgerWrite();
  LedgerWrite(const LedgerWrite&) = delete;
  LedgerWrite& operator=(const LedgerWrite&) = delete;
  /// Durable when it returns.
  void make_durable();
  /// Another transaction, with no other writer in between.
  void begin_again();

 private:
  FilesLedger& ledger_;
  const LedgerTurns::Turn turn_;
  bool open_ = true;
};

/// A transaction that is always undone. What gets an identity in it gets the same one in the next,
/// so that it can be asked for.
class LedgerTrial {
 public:
  explicit LedgerTrial(FilesLedger& ledger) : ledger_(ledger), write_(ledger) {
    ledger_.trial_uuids_ = 0;
  }
  ~LedgerTrial() { ledger_.trial_uuids_.reset(); }
  LedgerTrial(const LedgerTrial&) = delete;
  LedgerTrial& operator=(const LedgerTrial&) = delete;

 private:
  FilesLedger& ledger_;
  const LedgerWrite write_;
};

}  // namespace switchback
