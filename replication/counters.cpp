#include "replication/counters.h"

#include <fmt/format.h>

#include <algorithm>

#include "replication/meta.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

struct Sequence {
  TableId table;
  std::string column, name;  // name: qualified and quoted
  bool indexed;              // an index leads with the column, so max() costs nothing
};

constexpr const char* kSequences = R"(
SELECT a.attname, pg_get_serial_sequence($1, a.attname),
       EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum
                 AND i.indpred IS NULL AND i.indisvalid)
  FROM pg_attribute a
 WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
   AND pg_get_serial_sequence($1, a.attname) IS NOT NULL)";

std::vector<Sequence> sequences(Connection& connection, const Mapping& mapping,
                                const std::vector<TableId>& tables) {
  std::vector<Sequence> found;
  for (const TableId id : tables) {
    const TableMap& map = mapping.table(id);
    if (!map.flows()) continue;
    const Result rows = connection.exec(kSequences, {quoted_name(map)});
    for (int i = 0; i < rows.rows(); ++i) {
      found.push_back({id, rows.string(i, 0), rows.string(i, 1), rows.boolean(i, 2)});
    }
  }
  return found;
}

// A sequence that was never used has handed out nothing, whatever its last_value says. Without an
// index the keys are not looked at: reading a whole table would stretch the pause.
std::int64_t highest(Connection& connection, const Mapping& mapping, const Sequence& sequence) {
  const std::string keys =
      sequence.indexed ? fmt::format("(SELECT max({}) FROM {})", quote_identifier(sequence.column),
                                     quoted_name(mapping.table(sequence.table)))
                       : "NULL";
  return connection
      .exec(fmt::format("SELECT greatest(CASE WHEN is_called THEN last_value END, {}, 0)::bigint "
                        "FROM {}",
                        keys, sequence.name))
      .integer(0, 0);
}

}  // namespace

std::vector<Counter> read_counters(Connection& connection, const Mapping& mapping,
                                   const std::vector<TableId>& tables) {
  std::vector<Counter> counters;
  for (const Sequence& sequence : sequences(connection, mapping, tables)) {
    counters.push_back({sequence.table, sequence.column, highest(connection, mapping, sequence)});
  }
  return counters;
}

void raise_counters(Connection& connection, const Mapping& mapping,
                    const std::vector<TableId>& tables, const std::vector<Counter>& counters) {
  for (const Sequence& sequence : sequences(connection, mapping, tables)) {
    std::int64_t value = highest(connection, mapping, sequence);
    for (const Counter& counter : counters) {
      if (counter.table == sequence.table && counter.column == sequence.column) {
        value = std::max(value, counter.value);
      }
    }
    // Zero means that no key was ever handed out: the sequence keeps its own start.
    if (value > 0) {
      connection.exec("SELECT setval($1::regclass, $2::bigint)",
                      {sequence.name, std::to_string(value)});
    }
  }
}

}  // namespace switchback
