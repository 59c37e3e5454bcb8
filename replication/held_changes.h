// Changes that the server refused when they were tried alone, kept until their batch ends: what
// they collide with may move away or come later in the same batch (a unique value handed from row
// to row, a parent after its child). What still fails then is turned away. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "replication/pipeline.h"
#include "replication/unique_values.h"
#include "state/ports/change_sink.h"

namespace switchback {

class HeldChanges {
 public:
  /// The sink's open transaction, as far as settling needs it.
  class Transaction {
   public:
    virtual ~Transaction() = default;
    /// Applies the changes or leaves no trace of them and says why.
    virtual std::optional<RowError> attempt(const Chunk& chunk,
                                            std::span<const std::uint32_t> changes) = 0;
    /// A state that back() returns to, unless keep() is called first. Marks nest.
    virtual void mark() = 0;
    virtual void back() = 0;
    virtual void keep() = 0;
    virtual const UniqueColumns& unique_columns(TableId table) = 0;
  };

  /// `mapping` must outlive it.
  explicit HeldChanges(const Mapping& mapping) : mapping_(mapping) {}

  void hold(const Chunk& chunk, const Change& change, std::string key, RowError error);
  /// A change that was applied. If a delete is held that sets references of its table to NULL or to
  /// their default, it may have been put back too early, and is applied again after that delete.
  void note_applied(const Chunk& chunk, const Change& change, const std::string& key);
  /// A later change of this key replaces the one held.
  void drop(TableId table, std::string_view key);
  /// Whether a row is held that is to leave this key, or to get it from another row.
  bool moving(TableId table, std::string_view key) const;
  /// Tries again, all together and then one by one, until nothing moves any more; rows that have
  /// each other's unique values or keys first let go of them together. At the batch's end `last`
  /// lets orphans lose their reference where the table's policy says so.
  void settle(Transaction& transaction, bool last);
  /// What is still held, as rejects.
  void report(std::vector<Reject>& rejects) const;

  bool empty() const { return held_.empty(); }
  std::size_t bytes() const { return chunk_.bytes(); }
  void clear();

 private:
  struct Held {
    std::uint32_t change;  // in chunk_
    TableId table;
    std::string key;
    RowError error;
  };
  bool acts_on(const Held& held, TableId table) const;
  std::size_t acting() const;
  bool may_be_put_back(const Change& change) const;
  void try_together(Transaction& transaction);
  void put_back(Transaction& transaction);
  void put_back(Transaction& transaction, std::span<const Held> rows);
  void try_until_stuck(Transaction& transaction);
  bool try_each(Transaction& transaction, bool forward);
  bool null_orphans(Transaction& transaction);
  bool null_orphan(Transaction& transaction, const Held& held) const;
  bool close_references(Transaction& transaction);
  void add_bare(const Held& held, std::span<const std::uint16_t> nulls, Chunk& out) const;
  bool loosen_and_close(Transaction& transaction, std::set<std::uint32_t>& hopeless);
  bool break_circles(Transaction& transaction);
  std::vector<Held*> stuck_over_values();
  bool exchange_at_once(Transaction& transaction, const std::vector<Held*>& stuck);
  bool park(Transaction& transaction, Held& held);
  bool park_and_try(Transaction& transaction, std::set<std::uint32_t>& hopeless);
  bool add_parking(const Held& held, const UniqueColumns& unique, bool nulls, Chunk& out);
  bool add_key(const Held& held, Chunk& out);
  void add_unparking(const Held& held, const Chunk& parking, const Change& parked,
                     Chunk& out) const;

  const Mapping& mapping_;
  Chunk chunk_;
  std::vector<Held> held_;
  // What is to be put back once a held delete has acted on it: changes in chunk_.
  std::map<std::pair<TableId, std::string>, std::uint32_t> applied_;
  std::uint64_t placeholders_ = 0;
};

}  // namespace switchback
