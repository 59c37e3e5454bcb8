#include "replication/outlived.h"

#include <fmt/format.h>

#include "replication/meta.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

/// The key as switchback.outlived has it: made from the stored row, so that equal keys are.
std::string key_of_row(const TableMap& table) {
  std::string columns;
  for (std::uint16_t i = 0; i < table.key_width; ++i) {
    columns += (i == 0 ? "t." : ", t.") + quote_identifier(table.columns[i].name);
  }
  return fmt::format("pg_catalog.json_build_array({})::text", columns);
}

}  // namespace

std::string note_outlived(std::string_view bridge, const TableMap& table, const std::string& from,
                          const std::string& where) {
  return fmt::format(
      "INSERT INTO switchback.outlived (bridge, store, table_name, key, version) "
      "SELECT {}, {}, {}, {}, t.xmin FROM {} AS t{}{} "
      "ON CONFLICT (bridge, store, table_name, key) DO UPDATE SET version = EXCLUDED.version",
      quote_literal(bridge), quote_literal(table.store), quote_literal(plain_name(table)),
      key_of_row(table), quoted_name(table), from, where);
}

std::string not_outlived(std::string_view bridge, const TableMap& table, std::string_view joint) {
  if (!table.keep_deleted) return "";
  return fmt::format(
      " {} NOT EXISTS (SELECT FROM switchback.outlived o WHERE o.bridge = {} AND o.store = {} AND "
      "o.table_name = {} AND o.key = {} AND o.version = t.xmin)",
      joint, quote_literal(bridge), quote_literal(table.store), quote_literal(plain_name(table)),
      key_of_row(table));
}

}  // namespace switchback
