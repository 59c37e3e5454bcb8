// Sorts the changes of a batch by the record each belongs to: the one its row lives in, the one
// that encloses a new row, or a record of its own that is born. Part of the sink. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/chunk.h"
#include "state/ports/change_sink.h"
#include "watchers/files/ledger.h"
#include "watchers/files/scan.h"

namespace switchback {

/// How the reason of a reject begins whose row belongs into a record that is not here.
inline constexpr std::string_view kNoRecordEncloses = "no record encloses it";

/// All changes of one record, in the batch's order.
struct RecordChanges {
  std::uint16_t collection = 0;
  std::int64_t file = 0;     // 0: the record is born
  std::uint64_t record = 0;  // likewise
  Chunk changes;
};

class RecordTargets {
 public:
  /// All outlive the object.
  RecordTargets(const Mapping& mapping, const DocumentMap& documents, const FileScan& scan,
                const FilesLedger& ledger);

  /// What cannot belong to any record is appended to `rejects`; what finds none waits for the rest
  /// of the batch.
  void add(const Chunk& chunk, std::vector<Reject>& rejects);
  /// The batch is whole: what still finds no record is rejected.
  void settle(std::vector<Reject>& rejects);
  std::vector<RecordChanges>& records() { return records_; }
  /// Takes out of `rows` those that the batch deletes, or gives another key.
  void erase_deleted(std::set<LedgerKey>& rows) const;

 private:
  using Key = LedgerKey;

  void add_or_wait(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  /// False: the row that encloses it is not here.
  bool add_change(const Chunk& chunk, const Change& change, std::vector<Reject>& rejects);
  void reject(const Chunk& chunk, const Change& change, std::string reason,
              std::string_view sqlstate, std::vector<Reject>& rejects) const;
  /// Whether an earlier batch brought something of the row that could not be taken.
  bool was_refused(const Chunk& chunk, const Change& change);
  void add_truncate(TableId table);
  std::optional<std::size_t> find(const Key& key);
  std::optional<std::size_t> enclosing(const Chunk& chunk, const Change& change);
  std::size_t of_record(std::uint64_t record, std::int64_t file, TableId table);
  void take(std::size_t target, const Chunk& chunk, const Change& change);
  const Lens& lens(TableId table) const;

  const Mapping& mapping_;
  const FileScan& scan_;
  const FilesLedger& ledger_;
  std::vector<std::uint16_t> collection_of_;  // by TableId
  std::vector<RecordChanges> records_;
  std::map<std::uint64_t, std::size_t> by_record_;
  std::map<Key, std::size_t> born_;  // rows that came with this batch
  std::set<Key> left_;               // keys whose row has got another
  Chunk waiting_;                    // for the rows that enclose them
  std::set<Key> waiting_keys_;
  // The ledger's quarantine before this batch, by table and key; read when it is first needed.
  std::optional<std::set<std::pair<std::string, std::string>>> refused_;
};

}  // namespace switchback
