// Writes rows of one mapped table into SQLite with as little change as possible: the current row is
// read first, only cells that differ in meaning are written, in the spelling that was there, and a
// row that already means the same is not touched. What a constraint refuses is reported, not
// thrown: one statement writes one row, so SQLite undoes exactly that row. Used by the sink's one
// thread; must not outlive its database. Throws SQLite::Exception for what ends a transaction.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"
#include "watchers/sqlite/affinity.h"
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/prepared.h"
#include "watchers/sqlite/row_query.h"

namespace switchback {

struct Written {
  enum class Outcome {
    kDone,      // the table now means what the change says
    kConflict,  // another row has the unique value: may succeed once that row has changed
    kRefused,   // will not succeed whatever other rows do
    kMissing,   // the row is not there, and the change brings only a part of it
  };
  Outcome outcome = Outcome::kDone;
  std::string reason = {};  // in words, unless done
};

/// Where a row stands that had to leave its key to another: a key nobody has.
struct ParkedRow {
  std::vector<KeyForm> key;
};

class RowWriter {
 public:
  RowWriter(SQLite::Database& database, const TableMap& map);

  /// `parked`: where the row that the change speaks of stands meanwhile.
  Written upsert(const Chunk& chunk, const Change& change, const ParkedRow* parked = nullptr);
  /// Whether PostgreSQL left out what did not change of the row.
  bool is_partial(std::span<const Cell> row) const;
  Written remove(const Chunk& chunk, const Change& change, const ParkedRow* parked = nullptr);
  void truncate();
  bool has(const Chunk& chunk, std::span<const Cell> key);

  /// Moves the row of this key to a key that nobody has. nullopt if there is no such row, or the
  /// table allows no such key.
  std::optional<ParkedRow> displace(const Chunk& chunk, std::span<const Cell> key);
  /// Puts placeholders into the cells that `change` will overwrite and that a unique index watches,
  /// so that rows which exchange unique values let go of them. False if nothing could be parked.
  bool park(const Chunk& chunk, const Change& change, const ParkedRow* parked = nullptr);

  const TableMap& map() const { return *map_; }

 private:
  struct Column {
    bool writable = false;  // there at the old side and not generated there
    bool one_form = false;  // as a key: a cell has one stored form only, whatever the row
    Affinity affinity = Affinity::kNone;
    bool in_unique = false;  // part of a unique index (known once looked_for_unique_)
  };
  using Mask = std::vector<bool>;

  void look_at_columns();
  bool is_strict();
  void look_for_unique();
  bool find(std::span<const Cell> key, const Chunk& chunk);
  bool find_in_any_form(std::span<const Cell> key, const Chunk& chunk);
  bool stands_on(std::span<const Cell> key, const Chunk& chunk) const;
  bool find(const ParkedRow& parked);
  bool find_row_of(const Chunk& chunk, const Change& change, const ParkedRow* parked);
  StoredValue stored(std::size_t column) const;
  Written insert(std::span<const Cell> row, const Chunk& chunk);
  Written update(std::span<const Cell> row, const Chunk& chunk);
  void bind_place(Prepared& statement, int first);
  Prepared& statement_for(std::unordered_map<Mask, Prepared>& cache, bool inserting);
  bool put_placeholder(std::size_t column);
  bool put_value(std::size_t column, const StoredValue& value);
  std::optional<KeyForm> put_key_placeholder(std::size_t column);
  std::string place_condition(int first) const;
  Written run(Prepared& statement);

  SQLite::Database& database_;
  const TableMap* map_;
  std::vector<Column> columns_;
  std::string rowid_;  // a name for the rowid that no column shadows; empty: none
  std::optional<Prepared> find_;
  std::optional<Prepared> delete_;
  std::unordered_map<Mask, Prepared> inserts_;
  std::unordered_map<Mask, Prepared> updates_;
  Mask mask_;
  AffinityProbe probe_;
  std::string scratch_;
  bool looked_for_unique_ = false;
  std::uint64_t placeholders_ = 0;
};

}  // namespace switchback
