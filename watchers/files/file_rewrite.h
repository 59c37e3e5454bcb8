// One file of a batch: its changed records put through the lens and spliced into its bytes, and the
// ledger told what the file holds then. Nothing is written to the file here: the sink stages and
// replaces it. Inside the sink's LedgerWrite. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "state/ports/change_sink.h"
#include "watchers/files/file_text.h"
#include "watchers/files/ledger.h"
#include "watchers/files/record_inputs.h"
#include "watchers/files/record_targets.h"
#include "watchers/files/scan.h"

namespace switchback {

class FileRewrite {
 public:
  /// `place` is the file; `known` what the ledger has of it, nullopt if it is to be made.
  /// `current` are its bytes as they will be before this rewrite. All outlive the object.
  FileRewrite(const Mapping& mapping, const FileScan& scan, FilesLedger& ledger, FilePlace place,
              std::optional<KnownFile> known, FileBytes current);

  /// Puts a record of this file. What is refused goes to `rejects`. If the record moves to another
  /// file, the answer says where, and it is taken out here.
  struct Moved {
    std::string path;
    RecordText text;
    std::uint64_t record = 0;
  };
  std::optional<Moved> put(RecordChanges& changes, std::vector<Reject>& rejects);
  /// Adds a record that is born here, or moves in with its number in the ledger.
  void insert(RecordText text, std::uint64_t record, bool at_start);

  /// The new bytes; nullopt if the file goes with its only record. Brings the ledger up to date.
  std::optional<std::string> finish();

 private:
  struct Touched {
    std::uint64_t record = 0;  // 0: born
    RecordText text;
  };
  TextStyle style() const;
  std::vector<std::size_t> apply_edits(std::vector<RecordEntry>& entries,
                                       std::vector<Touched*>& touched);
  void note_record(std::int64_t file, RecordInputs& inputs, std::size_t at, Touched& touched,
                   RecordEntry& entry);

  const Mapping& mapping_;
  const Lens& lens_;
  FilesLedger& ledger_;
  const FilePlace place_;
  std::optional<KnownFile> known_;
  const FileBytes current_;
  std::optional<RecordInputs> inputs_;
  std::vector<RecordEntry> entries_;
  std::vector<std::pair<RecordEdit, std::optional<Touched>>> edits_;
};

/// The quarantine entries of what put() or make() refused.
void add_refused(const Mapping& mapping, const Chunk& changes,
                 const std::vector<RecordText::Refused>& refused, std::vector<Reject>& rejects);

}  // namespace switchback
