// One file of a batch, as one collection sees it: its changed records put through the lens and
// spliced into its bytes, and the ledger told what the file holds then. Nothing is written to the
// file here: the sink stages and replaces it. Inside the sink's LedgerWrite. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
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
  /// `current` are its bytes as they are. All outlive the object.
  FileRewrite(const Mapping& mapping, const FileScan& scan, FilesLedger& ledger, FilePlace place,
              std::optional<KnownFile> known, FileBytes current);

  /// Puts a record of this file; what the lens refuses goes to `rejects`. If the record belongs to
  /// another file now, nothing has happened and the answer says to which, or why to none: the
  /// caller then calls take_out() here and insert() there, or rejects the changes.
  struct Moved {
    MadePath to;
    RecordText text;
  };
  std::optional<Moved> put(const RecordChanges& changes, std::vector<Reject>& rejects);
  void take_out(std::uint64_t record);
  /// Whether another record may be added: a file that is one record has room for one.
  bool has_room() const;
  /// Adds a record that is born here (0), or moves in with its number in the ledger.
  void insert(RecordText text, std::uint64_t record, bool at_start);

  /// The new bytes; nullopt if the file goes with its only record. Brings the ledger up to date.
  /// `base` are the file's bytes as other collections left them, whose records stand elsewhere;
  /// without such ones, take_current(). Those of a large file and the new ones are not in memory at
  /// one time: `spool_folder` has one of them.
  std::optional<std::string> finish(std::string base, const std::filesystem::path& spool_folder);
  std::string take_current();
  const std::optional<KnownFile>& known() const { return known_; }
  /// After finish(): rows that the changed records had and have no more. Another file's may have
  /// them now.
  std::set<LedgerKey> take_vanished() { return std::move(vanished_); }

 private:
  struct Touched {
    std::uint64_t record = 0;  // 0: born
    RecordText text;
  };
  struct Edit {
    RecordEdit edit;
    std::optional<Touched> touched;  // nullopt: it goes
  };
  bool is_one_record() const;
  std::int64_t place_at(std::size_t i);
  const TextStyle& style();
  void sort_edits();
  std::vector<std::pair<std::size_t, Touched*>> apply_edits();
  std::string edited(std::string base, const std::filesystem::path& spool_folder);
  void note_record(std::int64_t file, RecordInputs& inputs, std::size_t at, Touched& touched);

  const Mapping& mapping_;
  const Lens& lens_;
  FilesLedger& ledger_;
  const FilePlace place_;
  const std::optional<KnownFile> known_;
  FileBytes current_;
  std::optional<TextStyle> style_;
  std::optional<RecordInputs> inputs_;
  std::vector<RecordEntry> entries_;
  std::unordered_map<std::uint64_t, std::size_t> index_;  // of records in entries_
  std::unordered_map<std::size_t, std::int64_t> places_;  // read from the ledger so far
  std::vector<Edit> edits_;
  std::set<LedgerKey> vanished_;
};

/// The quarantine entries of what put() or make() refused.
void add_refused(const Mapping& mapping, const Chunk& changes,
                 const std::vector<RecordText::Refused>& refused, std::vector<Reject>& rejects);

}  // namespace switchback
