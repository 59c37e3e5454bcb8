// Brings the ledger's picture of one file up to date and logs the keys of rows that became unlike.
// Everything that can be wrong with the contents is found before the ledger is touched, so a file
// that cannot be taken keeps its rows. Called by the scan, inside its LedgerWrite. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "watchers/files/ledger.h"
#include "watchers/files/lens.h"
#include "watchers/files/ranked_batch.h"
#include "watchers/files/record_inputs.h"

namespace switchback {

/// What a file's changes amount to, beside the ledger's log.
struct DiffOutcome {
  bool contested = false;  // two records claim a key, or a row has none: `give` is not all of it
  std::set<std::int64_t> again;  // files whose records are to be compared anew: a key became free
  bool unfinished = false;       // nothing was taken: it looks like the first part of a rewriting
};

/// What becomes of a change that would delete most of a file's records.
enum class MassDelete : std::uint8_t { kHold, kTake };

class FileDiff {
 public:
  /// `give` takes the changes as they are found; may be nullptr.
  FileDiff(const Mapping& mapping, const Lens& lens, FilesLedger& ledger, RankedBatch* give,
           MassDelete mass)
      : mapping_(mapping), lens_(lens), ledger_(ledger), give_(give), mass_(mass) {}

  /// Throws Error(kData) on contents that cannot be taken, Error(kRefused) if they would delete
  /// most of the file's records and that is held; then nothing was written. `known` is the file as
  /// the ledger has it, with id 0 if it does not. A list that keeps what leaves it drops records as
  /// it takes new ones; one that was `just_written` and only dropped some is called unfinished:
  /// lines may be seen before all are written, and would come back as new ones.
  DiffOutcome take(KnownFile known, const FileBytes& file, bool just_written);
  /// The file is gone, and its records with it. Throws Error(kRefused) as take().
  DiffOutcome remove(const KnownFile& known);

 private:
  struct Match;
  using Gone = std::map<std::pair<TableId, std::string>, Hash128>;

  bool keeps_deleted() const;
  Match match(const std::vector<RecordEntry>& before, RecordInputs& now) const;
  void refuse_mass_delete(std::size_t before, std::size_t gone, std::string_view path) const;
  bool moved_elsewhere(std::uint64_t record) const;
  void let_go(std::uint64_t record, Gone& gone);
  void tell(TableId table, std::string_view key);
  std::vector<std::optional<std::int64_t>> places_of(const std::vector<RecordEntry>& before,
                                                     const RecordInputs& now,
                                                     const Match& match) const;
  std::uint64_t take_record(std::int64_t file, const RecordInput& input, std::uint64_t id,
                            Gone& gone);
  void take_row(std::uint64_t record, const Chunk& rows, const Change& change, Gone& gone);
  void log_gone(const Gone& gone);

  const Mapping& mapping_;
  const Lens& lens_;
  FilesLedger& ledger_;
  RankedBatch* const give_;
  const MassDelete mass_;
  DiffOutcome outcome_;
};

}  // namespace switchback
