// The parts a load is cut into, and how far each has come: rows of switchback.load. A large table
// is copied as several parts side by side. A part's cursor changes in the transaction that copies
// its rows, so a killed load goes on where its last commit stands. Called by InitialLoad and
// TableLoad; a connection belongs to one thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "replication/connection.h"
#include "state/model/table_map.h"
#include "state/ports/row_reader.h"

namespace switchback {

struct LoadPart {
  TableId table{};
  int number = 0;
  ScanCursor cursor;
  std::uint64_t estimate = 0;  // rows in it, about
};

/// Inside the caller's transaction: notes the parts of `table`, unless a killed load noted them
/// before. `at_most` 1 keeps the table whole.
void plan_parts(Connection& connection, const Mapping& mapping, std::string_view store,
                TableId table, RowReader& reader, unsigned at_most);

/// The parts that are not done, with the cursor each has reached; in `tables`' order.
std::vector<LoadPart> open_parts(Connection& connection, const Mapping& mapping,
                                 std::string_view store, const std::vector<TableId>& tables);

/// Inside the caller's transaction: the part has come to part.cursor with `rows` rows more.
void save_part(Connection& connection, const Mapping& mapping, std::string_view store,
               const LoadPart& part, std::uint64_t rows);

}  // namespace switchback
