// What the bridge knows of a store of files: which records each file held when it was last looked
// at, which rows they made, and the identities made up for them. A SQLite file of our own in the
// state directory. The source compares files with it to find changes, the sink finds a row's record
// in it and writes down what it wrote (so that nothing comes back as an echo), the reader gives the
// rows it names. A generation is one consistent state of all files; it is the store's position.
//
// Forward, a generation is staged durably before any of its changes leave, and becomes the current
// one when PostgreSQL is known to hold it; a restart finds which it was from PostgreSQL's
// checkpoint. Each object is one connection for one thread; several may be open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/phase.h"
#include "state/model/position.h"
#include "state/ports/change_sink.h"
#include "watchers/files/file_read.h"
#include "watchers/files/hash.h"
#include "watchers/files/memory.h"

namespace switchback {

/// One row a record makes: what must be deleted when the record goes.
struct RowMark {
  TableId table{};
  std::string key;  // a chunk's key cells, as serialise_key() has them: equal keys are equal bytes
  Hash128 row;      // of the whole row: unlike means changed
};

struct KnownRecord {
  Hash128 bytes;     // of the record as it stands in the file
  Mark mark;         // Lens::mark()
  std::string name;  // in a map
  std::int64_t place = 0;
  RecordMemory memory;
  std::vector<RowMark> rows;
};

struct KnownFile {
  std::uint16_t collection = 0;
  std::string path;  // below the collection's root
  FileStamp stamp;
  Hash128 bytes;  // of the whole file
};

/// Where a row lives.
struct RowHome {
  std::uint16_t collection = 0;
  std::string path;
  std::uint64_t record = 0;  // its index in the file
};

class FilesLedger {
 public:
  /// Opens or makes the file. Throws Error(kDisk).
  static FilesLedger open(const std::filesystem::path& file);
  FilesLedger(FilesLedger&&) noexcept;
  ~FilesLedger();

  /// The current generation: {a random number made with the ledger, generation, 0}; {} before the
  /// first.
  Position current() const;
  /// The staged one, if a batch is on its way.
  std::optional<Position> staged() const;

  std::vector<KnownFile> files() const;
  std::optional<KnownFile> file(std::uint16_t collection, std::string_view path) const;
  /// Records of one file in order: of the staged generation where there is one.
  void records(const KnownFile& file, const std::function<void(const KnownRecord&)>& each) const;
  std::optional<RowHome> find(TableId table, std::string_view key) const;

  /// One transaction: everything between begin() and commit().
  void begin();
  void replace_file(const KnownFile& file, const std::vector<KnownRecord>& records);
  void forget_file(std::uint16_t collection, std::string_view path);
  std::int64_t next_serial(std::uint16_t collection, std::uint16_t level);
  void raise_serial(std::uint16_t collection, std::uint16_t level, std::int64_t at_least);
  /// Commits what was written since begin() as the next generation, not yet current.
  Position commit_staged();
  /// Commits it as the current generation at once: the sink's way, with the position it applied.
  void commit_applied(const Position& applied);
  void rollback() noexcept;

  /// The other side holds the staged generation, or does not and never will.
  void promote_staged();
  void drop_staged();

  /// The reverse flow's position, quarantine and the gate row live here too.
  Position applied() const;

 private:
  class Impl;
  explicit FilesLedger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace switchback
