// Rows as COPY's binary format, and sending them. The load encodes pages on its reading thread and
// sends them on its writing thread. Encoding is pure; a connection belongs to one thread.
// https://www.postgresql.org/docs/15/sql-copy.html (Binary Format)
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replication/connection.h"
#include "state/model/chunk.h"
#include "state/ports/change_sink.h"

namespace switchback {

/// The columns of a table that rows bring along: not generated, and known to the old side.
std::vector<std::uint16_t> copied_columns(const TableMap& map);
/// Only the key's.
std::vector<std::uint16_t> key_columns(const TableMap& map);

/// A chunk's rows of one table, encoded, each to be found again if COPY refuses it.
class CopyPage {
 public:
  /// Forgets all rows but keeps their memory. The caller fills the chunk with rows of `map`, then
  /// calls encode(). `map` and `columns` outlive what is done with the page until the next call.
  Chunk& begin(const TableMap& map, std::span<const std::uint16_t> columns);
  /// Encodes the chunk's rows; misfits, and rows that the column types cannot hold, become
  /// rejects().
  void encode();

  std::size_t rows() const { return rows_.size(); }
  std::size_t bytes() const { return bytes_.size(); }
  /// The encoded rows [first, last).
  std::string_view slice(std::size_t first, std::size_t last) const;
  /// The quarantine entry of a row that the server refused.
  Reject reject(std::size_t row, std::string reason, std::string sqlstate) const;
  const std::vector<Reject>& rejects() const { return rejects_; }

 private:
  struct Row {
    std::size_t end;       // in bytes_
    std::uint32_t change;  // in chunk_
  };

  const TableMap* map_ = nullptr;
  std::span<const std::uint16_t> columns_;
  Chunk chunk_;
  std::string bytes_;
  std::vector<Row> rows_;
  std::vector<Reject> rejects_;
};

struct CopyFailure {
  std::string reason, sqlstate;
  std::optional<std::size_t> row;  // which of the sent rows it failed on, if the server said so
};

/// Sends `rows` by `copy_sql` (COPY … FROM STDIN (FORMAT binary)). Returns what the data made fail;
/// throws Error for anything else (a lost connection, a full disk, a lock).
std::optional<CopyFailure> copy_in(Connection& connection, const std::string& copy_sql,
                                   std::span<const std::string_view> rows);

}  // namespace switchback
