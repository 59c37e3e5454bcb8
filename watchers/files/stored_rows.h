// Rows as the ledger knows them, read from the files: for keys from the log, and for scans over
// whole tables. A file that is not as the ledger has it is never read half so: the answer is that
// somebody must scan first. Used by source and reader, each with its own. One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "state/base/unique_fd.h"
#include "watchers/files/ranked_batch.h"
#include "watchers/files/record_inputs.h"
#include "watchers/files/scan.h"

namespace switchback {

class StoredRows {
 public:
  /// Both outlive the object.
  StoredRows(std::shared_ptr<const Mapping> mapping, const FileScan& scan, FilesLedger& ledger)
      : mapping_(std::move(mapping)), scan_(scan), ledger_(ledger) {}

  /// The current row of each key, or its delete, as far as files are as the ledger knows them.
  /// Returns the keys of the others; with `by_ledger` also those that it knows no record of, since
  /// only a look at the files could tell. Inside a LedgerRead.
  std::vector<DirtyKey> read_some(const std::vector<DirtyKey>& keys, RankedBatch& out,
                                  bool by_ledger = false);

  /// Appends the rows of `table` that the record owns. False: its file is not as the ledger knows
  /// it; then `rows` is as it was.
  /// Inside a LedgerRead.
  bool append(const FilesLedger::RecordHome& home, TableId table, Chunk& rows);

  /// Whether the file's collection fills the table.
  bool fills(std::int64_t file, TableId table);
  /// Forgets the file that is kept between calls.
  void release() { loaded_.reset(); }

 private:
  struct Loaded {
    KnownFile known;
    FileBytes file;
    std::unique_ptr<RecordInputs> inputs;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> at;  // record, its place in the file
    // Of a large file, whose bytes are not kept: where they are read again, record by record.
    UniqueFd fd;
    std::vector<Hash128> hashes;
    std::string record;  // the one read last
  };
  using Give = std::function<void(const Chunk&, const Change&)>;

  bool load(std::int64_t file);
  void keep_outside(const std::filesystem::path& root, const std::vector<RecordEntry>& entries);
  /// nullptr: the file is another by now.
  const RecordInput* input(std::size_t i, std::int64_t place);
  /// False likewise.
  bool rows_of(std::uint64_t record, const Give& give);
  std::string rivalry(TableId table, std::string_view key) const;

  const std::shared_ptr<const Mapping> mapping_;
  const FileScan& scan_;
  FilesLedger& ledger_;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace switchback
