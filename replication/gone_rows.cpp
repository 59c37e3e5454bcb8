#include "replication/gone_rows.h"

#include <simdjson.h>

#include <string>

#include "replication/codec.h"
#include "state/base/error.h"

namespace switchback {
namespace {

const TableMap* flowing_table(const Mapping& mapping, std::string_view store,
                              std::string_view schema, std::string_view name) {
  const auto id = mapping.find(schema, name);
  if (!id) return nullptr;
  const TableMap& table = mapping.table(*id);
  return table.flows() && table.store == store ? &table : nullptr;
}

void append_key(const TableMap& table, simdjson::dom::array key, Chunk& out) {
  if (key.size() != table.key_width) {
    throw Error(ErrorKind::kData, Retry::kNever, "a truncated partition's rows have another key",
                {.object = table.schema + "." + table.table});
  }
  std::size_t column = 0;
  for (const std::string_view text : key) {
    out.add(decode_text(table.columns[column++], text, out));
  }
  out.end_delete(table.id);
}

}  // namespace

void append_gone_rows(std::string_view content, const Mapping& mapping, std::string_view store,
                      Chunk& out) {
  try {
    simdjson::dom::parser parser;
    const simdjson::dom::element message = parser.parse(simdjson::padded_string(content));
    const TableMap* table = flowing_table(mapping, store, message["schema"], message["table"]);
    if (table == nullptr) return;
    for (const simdjson::dom::array key : message["keys"]) append_key(*table, key, out);
  } catch (const simdjson::simdjson_error& error) {
    throw Error(ErrorKind::kData, Retry::kNever,
                std::string("a truncated partition's rows cannot be read: ") + error.what(),
                {.object = "replication stream"});
  }
}

}  // namespace switchback
