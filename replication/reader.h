// Reads current rows of PostgreSQL's side: for the verifier, repairs and keys whose row must be
// seen anew. Scans a part at a time and holds no snapshot between calls: where the rows lie, since
// that order is read twice as fast as the key's, so that a row that is changed meanwhile may be met
// twice or not at all; partitioned tables in the order of the key. Made by the endpoint; one
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replication/array_encoder.h"
#include "replication/connection.h"
#include "state/ports/row_reader.h"

namespace switchback {

class PostgresReader final : public RowReader {
 public:
  PostgresReader(std::string conninfo, std::shared_ptr<const Mapping> mapping)
      : conninfo_(std::move(conninfo)), mapping_(std::move(mapping)) {}

  /// The window's positions are LSNs. A commit that was being made public while the scan began may
  /// lie just before `from` and yet not be seen.
  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override;
  /// Sees every commit at or before `from`. Throws Error(kBusy) while one waits for a standby.
  Window fetch(TableId table, const Chunk& keys, Chunk& out) override;
  std::uint64_t estimate(TableId table) override;
  void nobody_writes() override { nobody_writes_ = true; }

 private:
  struct Table {
    std::string columns;  // "t.a, t.b": all mapped columns
    // Results come in binary form; as text if some type is known to nobody but the server. Not by a
    // cast: inet's, for one, spells a value otherwise than its output function does.
    bool binary = true;
    std::vector<std::string> casts;  // of each key column, for a parameter that stands for it
    std::uint32_t page_rows = 64;    // how many fill about a chunk, learned while scanning
    bool one_heap = false;           // its rows have an order of their own: that of their places
  };

  Connection& connection();
  void wait_for_commits_under_way();
  Table& table(TableId id);
  Position position();
  Result scan_by_key(const TableMap& map, const Table& table, const ScanCursor& cursor);
  Result scan_by_place(const TableMap& map, const Table& table, const ScanCursor& cursor);
  /// Decodes row `row` of `result`, whose first mapped column has number `at`.
  static void take_row(const TableMap& map, const Table& table, const Result& result, int row,
                       int at, Chunk& out);
  void fetch_part(const TableMap& map, const Chunk& keys, std::size_t begin, std::size_t end,
                  Chunk& out);

  const std::string conninfo_;
  const std::shared_ptr<const Mapping> mapping_;
  std::optional<Connection> connection_;
  std::uint64_t history_ = 0;
  bool nobody_writes_ = false;
  std::map<TableId, Table> tables_;
  ArrayParameters arrays_;
};

std::unique_ptr<RowReader> open_postgres_reader(std::string conninfo,
                                                std::shared_ptr<const Mapping> mapping);

}  // namespace switchback
