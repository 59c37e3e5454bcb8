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
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/prepared.h"

namespace switchback {

struct Written {
  enum class Outcome {
    kDone,      // the table now means what the change says
    kConflict,  // another row has the unique value: may succeed once that row has changed
    kRefused,   // will not succeed whatever other rows do
  };
  Outcome outcome = Outcome::kDone;
  std::string reason = {};  // in words, unless done
};

class RowWriter {
 public:
  RowWriter(SQLite::Database& database, const TableMap& map);

  Written upsert(const Chunk& chunk, const Change& change);
  Written remove(const Chunk& chunk, const Change& change);
  void truncate();

  /// Puts placeholders into the cells that `change` will overwrite and that a unique index watches,
  /// so that rows which exchange unique values let go of them. False if nothing could be parked.
  bool park(const Chunk& chunk, const Change& change);

  const TableMap& map() const { return *map_; }

 private:
  struct Column {
    bool writable = false;   // there at the old side and not generated there
    bool one_form = false;   // as a key: a cell has one stored form only, whatever the row
    bool in_unique = false;  // part of a unique index (known once looked_for_unique_)
  };
  using Mask = std::vector<bool>;

  void look_at_columns();
  void look_for_unique();
  bool find(std::span<const Cell> key, const Chunk& chunk);
  bool find_in_any_form(std::span<const Cell> key, const Chunk& chunk);
  StoredValue stored(std::size_t column) const;
  Written insert(std::span<const Cell> row, const Chunk& chunk);
  Written update(std::span<const Cell> row, const Chunk& chunk);
  void bind_place(Prepared& statement, int first);
  Prepared& statement_for(std::unordered_map<Mask, Prepared>& cache, bool inserting);
  bool put_placeholder(std::size_t column);
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
  std::string scratch_;
  bool looked_for_unique_ = false;
  std::uint64_t placeholders_ = 0;
};

}  // namespace switchback
