// Turns the messages between Begin and Commit into canonical changes, in commit order and never
// collapsed. Knows the mapping, the echo mark and the drain marker, and checks that the tables
// still have the columns that the mapping was made for. Pure: it sees bytes only, so it is tested
// without a server. Used by the PostgreSQL source, on the pump's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "replication/lsn.h"
#include "replication/pgoutput.h"
#include "replication/relation_map.h"
#include "state/model/chunk.h"
#include "state/model/table_map.h"

namespace switchback {

class Assembler {
 public:
  enum class Event {
    kNone,
    kCommit,  // a transaction ended; reached() is the position behind it
    kDrain,   // the same, and it carried the drain marker
  };

  /// Only tables of `store` that flow are taken.
  Assembler(std::shared_ptr<const Mapping> mapping, std::string store);

  /// A new stream begins: forgets relations and the transaction under way. Transactions that ended
  /// at or before `applied` will be dropped, those after `compared` handed out as owed().
  void reset(Lsn applied, Lsn compared);
  void reset(Lsn applied) { reset(applied, applied); }

  /// Takes one message and appends the changes it stands for. Throws Error(kData) for what cannot
  /// be understood or placed; a value that has no canonical form is a misfit instead.
  Event feed(std::string_view message, Chunk& out);

  /// The server has sent everything up to `wal_end`. No effect inside a transaction.
  void reach(Lsn wal_end);

  bool in_transaction() const { return in_transaction_; }
  /// Whether the transaction under way, or the last one, was applied before and is told again: only
  /// its keys are of use.
  bool owed() const { return owed_; }
  /// Every change at or before this position has been appended.
  Lsn reached() const { return reached_; }

 private:
  struct Visitor;
  void begin(const pgoutput::Begin& message);
  Event commit(const pgoutput::Commit& message);
  void relation(const pgoutput::Relation& message);
  void note(const pgoutput::Message& message, Chunk& out);
  void insert(const pgoutput::Insert& message, Chunk& out);
  void update(const pgoutput::Update& message, Chunk& out);
  void erase(const pgoutput::Delete& message, Chunk& out);
  void truncate(const pgoutput::Truncate& message, Chunk& out);
  const RelationMap* wanted(pgoutput::RelationId id);
  const RelationMap* known(pgoutput::RelationId id);
  void expect_transaction(std::string_view what) const;

  const std::shared_ptr<const Mapping> mapping_;
  const std::string store_;

  std::unordered_map<pgoutput::RelationId, RelationMap> relations_;
  std::unordered_map<std::uint32_t, std::string> type_names_;
  std::vector<pgoutput::Value> values_;  // reused by each message
  std::vector<Cell> new_key_, old_key_;  // reused by each row
  Lsn applied_, compared_, reached_;
  Lsn commit_lsn_;  // of the transaction under way
  bool in_transaction_ = false;
  bool skipping_ = false;  // the transaction under way is an echo, or was applied before
  bool owed_ = false;
  bool seen_change_ = false;
  bool drain_ = false;
};

}  // namespace switchback
