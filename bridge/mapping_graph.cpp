#include "bridge/mapping_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "state/base/error.h"

namespace switchback {
namespace {

std::uint16_t column_index(const TableMap& table, const std::string& name) {
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (table.columns[i].name == name) return static_cast<std::uint16_t>(i);
  }
  throw Error(ErrorKind::kInternal, Retry::kNever,
              fmt::format("a foreign key names column {}, which the catalog does not list", name),
              {.object = table.schema + "." + table.table});
}

/// reach[a][b]: b is an ancestor of a.
std::vector<std::vector<bool>> ancestors(const Mapping& mapping) {
  const std::size_t count = mapping.tables.size();
  std::vector<std::vector<bool>> reach(count, std::vector<bool>(count, false));
  for (std::size_t start = 0; start < count; ++start) {
    std::vector<std::size_t> todo = {start};
    while (!todo.empty()) {
      const std::size_t at = todo.back();
      todo.pop_back();
      for (const auto& key : mapping.tables[at].foreign_keys) {
        const std::size_t parent = index(key.parent);
        if (reach[start][parent]) continue;
        reach[start][parent] = true;
        todo.push_back(parent);
      }
    }
  }
  return reach;
}

}  // namespace

void link_foreign_keys(const Config& config, const std::vector<CatalogTable>& catalog,
                       Mapping& mapping) {
  for (const auto& child : catalog) {
    const auto id = mapping.find(child.schema, child.name);
    for (const auto& key : child.foreign_keys) {
      const auto parent = mapping.find(key.parent_schema, key.parent_table);
      if (!parent) continue;
      if (!id) {
        throw Error(
            ErrorKind::kUsage, Retry::kNever,
            fmt::format("foreign key {} refers to {}.{}, but the table itself is not in the "
                        "bridge",
                        key.name, key.parent_schema, key.parent_table),
            {.object = child.schema + "." + child.name,
             .next = fmt::format("add [table.\"{}.{}\"] with only = \"postgres\" to {}",
                                 child.schema, child.name, config.file.filename().string())});
      }
      TableMap& from = mapping.tables[index(*id)];
      const TableMap& to = mapping.table(*parent);
      ForeignKey out{.name = key.name,
                     .columns = {},
                     .parent = *parent,
                     .parent_columns = {},
                     .on_delete = key.on_delete,
                     .on_update = key.on_update};
      for (const auto& column : key.columns) out.columns.push_back(column_index(from, column));
      for (const auto& column : key.parent_columns) {
        out.parent_columns.push_back(column_index(to, column));
      }
      from.foreign_keys.push_back(std::move(out));
    }
  }
}

void rank_tables(Mapping& mapping) {
  const auto reach = ancestors(mapping);
  // Ranks only grow, and none exceeds the number of tables: at most that many rounds.
  for (bool moved = true; moved;) {
    moved = false;
    for (auto& table : mapping.tables) {
      for (const auto& key : table.foreign_keys) {
        const std::size_t parent = index(key.parent);
        const bool cycle = reach[parent][index(table.id)];
        const auto least =
            static_cast<std::uint16_t>(mapping.tables[parent].rank + (cycle ? 0 : 1));
        if (table.rank >= least) continue;
        table.rank = least;
        moved = true;
      }
    }
  }
}

void check_groups(const Config& config, const Mapping& mapping) {
  std::map<std::string, std::string> store_of;
  for (const auto& table : mapping.tables) {
    for (const auto& key : table.foreign_keys) {
      const TableMap& parent = mapping.table(key.parent);
      if (parent.group == table.group) continue;
      throw Error(
          ErrorKind::kUsage, Retry::kNever,
          fmt::format("foreign key {} leads from group \"{}\" to {}.{} in group \"{}\"; "
                      "tables that refer to each other flip together",
                      key.name, table.group, parent.schema, parent.table, parent.group),
          {.object = table.schema + "." + table.table,
           .next = fmt::format("give both the same group in {}", config.file.filename().string())});
    }
    if (table.store.empty()) continue;
    const auto [entry, added] = store_of.try_emplace(table.group, table.store);
    if (!added && entry->second != table.store) {
      throw Error(ErrorKind::kUsage, Retry::kNever,
                  fmt::format("group \"{}\" spans the stores {} and {}; a group flips one store",
                              table.group, entry->second, table.store),
                  {.object = table.schema + "." + table.table,
                   .next = "set group = \"…\" per store in its [table.…] sections"});
    }
  }
}

}  // namespace switchback
