#include "bridge/document_builder.h"

#include <fmt/format.h>

#include <algorithm>

#include "bridge/config_reader.h"
#include "state/base/error.h"
#include "watchers/files/mapping_text.h"

namespace switchback {
namespace {

[[noreturn]] void fail(const Config& config, int line, const std::string& what,
                       const std::string& next) {
  throw Error(ErrorKind::kUsage, Retry::kNever, what, {.object = config.at(line), .next = next});
}

std::uint16_t column_index(const Config& config, const TableConfig& table, const TableMap& map,
                           const std::string& name) {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    if (map.columns[i].name == name) return static_cast<std::uint16_t>(i);
    known.push_back(map.columns[i].name);
  }
  fail(config, table.line, fmt::format("[table.{}] order: there is no column {}", map.table, name),
       fmt::format("there are: {}", fmt::join(known, ", ")));
}

TableSource build_table(const Config& config, const TableConfig& table, const TableMap& map) {
  TableSource out;
  out.table = map.id;
  out.columns.resize(map.columns.size());
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    // The builder took each column's name from the catalog, which may differ in case.
    const auto at = std::find_if(
        table.columns.begin(), table.columns.end(),
        [&](const auto& column) { return same_name(column.name, map.columns[i].name); });
    if (at != table.columns.end()) out.columns[i] = at->source;
  }
  out.where = table.where;
  for (const auto& name : table.order) {
    out.order.push_back(column_index(config, table, map, name));
  }
  out.at_start = table.at_start;
  return out;
}

}  // namespace

DocumentMap build_documents(const Config& config, const Mapping& mapping) {
  DocumentMap out;
  for (const CollectionConfig& from : config.collections) {
    Collection collection = from.collection;
    std::vector<std::string> paths;
    for (const TableConfig& table : config.tables) {
      if (table.collection != collection.name) continue;
      const auto map =
          std::find_if(mapping.tables.begin(), mapping.tables.end(), [&](const auto& t) {
            return t.schema == table.schema && same_name(t.table, table.table);
          });
      collection.tables.push_back(build_table(config, table, *map));
      paths.push_back(table.path);
    }
    const auto levels = make_levels(collection, paths);
    for (std::size_t i = 0; i < levels.size(); ++i) collection.tables[i].level = levels[i];
    if (collection.tables.empty()) {
      fail(config, from.line,
           fmt::format("[collection.{}]: no table takes from it", collection.name),
           fmt::format("add [table.NAME] with from = \"{}\"", collection.name));
    }
    try {
      link_collection(mapping, collection);
    } catch (const Error& error) {
      fail(config, from.line, fmt::format("[collection.{}]: {}", collection.name, error.message()),
           error.detail().next);
    }
    out.collections.push_back(std::move(collection));
  }
  return out;
}

}  // namespace switchback
