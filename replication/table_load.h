// The copy of one table, or of a part of it: a reading thread scans and encodes pages, the calling
// thread sends them and commits each stretch together with the reader's cursor. Rows the server
// refuses go to quarantine in the same transaction. Called by InitialLoad, one TableLoad per part.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "replication/connection.h"
#include "replication/copy_writer.h"
#include "replication/load_parts.h"
#include "state/model/table_map.h"
#include "state/ports/row_reader.h"

namespace switchback {

class TableLoad {
 public:
  /// What one commit takes along.
  struct Stretch {
    std::vector<CopyPage> memory;
    std::size_t used = 0;  // of memory
    ScanCursor cursor;
    std::span<const CopyPage> pages() const { return {memory.data(), used}; }
  };
  /// One stretch being sent, one waiting and one being read. They are filled again and again, from
  /// part to part, since new memory for each costs more than the encoding.
  using Memory = std::array<Stretch, 3>;

  /// `rows` is raised as rows are committed. All references outlive the object; `memory` is one
  /// load's at a time.
  TableLoad(Connection& connection, const Mapping& mapping, std::string store, LoadPart part,
            Memory& memory, std::atomic<std::uint64_t>& rows);

  /// Copies from where the last commit stands to the end, or until a stop is requested.
  void run(RowReader& reader, std::stop_token stop);

 private:
  struct Part {
    std::size_t first, last;  // rows [first, last) of a page
  };

  void read_stretch(RowReader& reader, ScanCursor& cursor, std::stop_token stop,
                    Stretch& out) const;
  void write_stretch(const Stretch& stretch);
  std::uint64_t write_isolating(const CopyPage& page, std::vector<Reject>& rejects);
  std::optional<CopyFailure> write_rows(std::span<const std::string_view> rows);
  void make_staging();

  Connection& connection_;
  const Mapping& mapping_;
  const std::string store_;
  LoadPart part_;
  const TableMap& map_;
  const std::vector<std::uint16_t> columns_;
  bool keyed_ = true;   // the table has its primary key: rows are upserted
  bool staged_ = true;  // rows pass a temporary table
  std::string copy_sql_, move_sql_;
  Memory& memory_;
  std::atomic<std::uint64_t>& rows_;
};

}  // namespace switchback
