#include "replication/load_parts.h"

#include <fmt/format.h>

#include "replication/meta.h"

namespace switchback {
namespace {

// Below this a second stream costs more (a connection, a reader) than it saves.
constexpr std::uint64_t kSplitRows = 50'000;

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::string from_hex(std::string_view hex) {
  const auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(nibble(hex[i]) * 16 + nibble(hex[i + 1]));
  }
  return out;
}

}  // namespace

void plan_parts(Connection& connection, const Mapping& mapping, std::string_view store,
                TableId table, RowReader& reader, unsigned at_most) {
  const std::string name = plain_name(mapping.table(table));
  const bool planned = connection
                           .exec(
                               "SELECT 1 FROM switchback.load WHERE bridge = $1 AND store = $2 AND "
                               "table_name = $3 LIMIT 1",
                               {mapping.bridge, std::string(store), name})
                           .rows() > 0;
  if (planned) return;
  const std::uint64_t estimate = reader.estimate(table);
  const auto parts = reader.parts(table, estimate < kSplitRows ? 1 : at_most);
  for (std::size_t number = 0; number < parts.size(); ++number) {
    connection.exec(
        "INSERT INTO switchback.load (bridge, store, table_name, part, cursor, estimate, rows, "
        "done) VALUES ($1, $2, $3, $4::int, $5, $6::bigint, 0, false)",
        {mapping.bridge, std::string(store), name, std::to_string(number),
         to_hex(parts[number].after), std::to_string(estimate / parts.size())});
  }
}

std::vector<LoadPart> open_parts(Connection& connection, const Mapping& mapping,
                                 std::string_view store, const std::vector<TableId>& tables) {
  std::vector<LoadPart> parts;
  for (const TableId table : tables) {
    const Result rows = connection.exec(
        "SELECT part, cursor, estimate FROM switchback.load WHERE bridge = $1 AND store = $2 AND "
        "table_name = $3 AND NOT done ORDER BY part",
        {mapping.bridge, std::string(store), plain_name(mapping.table(table))});
    for (int i = 0; i < rows.rows(); ++i) {
      parts.push_back({table,
                       static_cast<int>(rows.integer(i, 0)),
                       {from_hex(rows.text(i, 1)), false},
                       static_cast<std::uint64_t>(rows.integer(i, 2))});
    }
  }
  return parts;
}

void save_part(Connection& connection, const Mapping& mapping, std::string_view store,
               const LoadPart& part, std::uint64_t rows) {
  connection.exec(
      "UPDATE switchback.load SET cursor = $5, rows = rows + $6::bigint, done = $7::boolean WHERE "
      "bridge = $1 AND store = $2 AND table_name = $3 AND part = $4::int",
      {mapping.bridge, std::string(store), plain_name(mapping.table(part.table)),
       std::to_string(part.number), to_hex(part.cursor.after), std::to_string(rows),
       part.cursor.done ? "true" : "false"});
}

}  // namespace switchback
