#include "bridge/mapping_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "bridge/config_reader.h"
#include "bridge/constraint_text.h"
#include "bridge/document_builder.h"
#include "bridge/mapping_graph.h"
#include "state/base/error.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

/// The item called `name`: exactly, or else but for case; nullptr if there is none.
template <typename Item>
const Item* find_named(const std::vector<Item>& items, std::string_view name) {
  const Item* loose = nullptr;
  for (const auto& item : items) {
    if (item.name == name) return &item;
    if (loose == nullptr && same_name(item.name, name)) loose = &item;
  }
  return loose;
}

template <typename Item>
std::vector<std::string> names_of(const std::vector<Item>& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::string near = nearest_word(word, known);
  return near.empty() ? fmt::format("there are: {}", fmt::join(known, ", "))
                      : fmt::format("did you mean \"{}\"?", near);
}

class Builder {
 public:
  Builder(const Config& config, const std::vector<StoreSchema>& stores,
          const std::vector<CatalogTable>& catalog)
      : config_(config), stores_(stores), catalog_(catalog) {}

  BuiltMapping build() {
    out_.mapping.bridge = config_.bridge;
    for (const auto& table : config_.tables) add_configured(table);
    for (const auto& store : config_.stores) add_rest_of(store);
    if (out_.mapping.tables.empty()) {
      throw Error(ErrorKind::kUsage, Retry::kNever,
                  "no table of the old store is in PostgreSQL too",
                  {.object = config_.file.filename().string(),
                   .next = "create the tables there, or name a file that does: [postgres] schema"});
    }
    auto& tables = out_.mapping.tables;
    std::sort(tables.begin(), tables.end(), [](const TableMap& a, const TableMap& b) {
      return std::tie(a.schema, a.table) < std::tie(b.schema, b.table);
    });
    for (std::size_t i = 0; i < tables.size(); ++i)
      tables[i].id = TableId{static_cast<std::uint16_t>(i)};
    link_foreign_keys(config_, catalog_, out_.mapping);
    rank_tables(out_.mapping);
    check_groups(config_, out_.mapping);
    for (const auto& table : tables) check_orphans(table);
    for (const auto& table : tables) check_kept(table);
    out_.documents = build_documents(config_, out_.mapping);
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(int line, const std::string& object, const std::string& what,
                         const std::string& next) const {
    throw Error(ErrorKind::kUsage, Retry::kNever, fmt::format("{}: {}", object, what),
                {.object = config_.at(line), .next = next});
  }

  const std::vector<SqliteTable>& tables_of(const std::string& store) const {
    for (const auto& schema : stores_) {
      if (schema.store == store) return schema.tables;
    }
    throw Error(ErrorKind::kInternal, Retry::kNever, "the schema of this store was not read",
                {.object = store});
  }

  const CatalogTable* find_catalog(const std::string& schema, const std::string& name) const {
    for (const auto& table : catalog_) {
      if (table.schema == schema && table.name == name) return &table;
    }
    for (const auto& table : catalog_) {
      if (table.schema == schema && same_name(table.name, name)) return &table;
    }
    return nullptr;
  }

  const CatalogTable& need_catalog(const TableConfig& table) const {
    if (const auto* found = find_catalog(table.schema, table.table)) return *found;
    std::vector<std::string> known;
    for (const auto& there : catalog_) {
      if (there.schema == table.schema) known.push_back(there.name);
    }
    fail(table.line, table.schema + "." + table.table, "there is no such table in PostgreSQL",
         nearest_word(table.table, known).empty() ? "create it there first"
                                                  : did_you_mean(table.table, known));
  }

  const SqliteTable& need_old(const TableConfig& table) const {
    const auto& tables = tables_of(table.store);
    if (const auto* found = find_named(tables, table.old_table)) return *found;
    fail(table.line, table.store + "." + table.old_table, "there is no such table in SQLite",
         did_you_mean(table.old_table, names_of(tables)));
  }

  void add_configured(const TableConfig& table) {
    if (!table.collection.empty()) return add_of_documents(table, need_catalog(table));
    switch (table.only) {
      case Only::kPostgres:
        add_only_postgres(table, need_catalog(table));
        return;
      case Only::kOld:
        add_only_old(table, need_old(table));
        return;
      case Only::kNeither:
        add_flowing(table, need_old(table), need_catalog(table));
        return;
    }
  }

  /// The tables that [store.S] names and no [table.T] does.
  void add_rest_of(const StoreConfig& store) {
    const auto& tables = tables_of(store.name);
    std::vector<std::string> wanted = store.all_tables ? names_of(tables) : store.tables;
    for (const auto& name : wanted) {
      TableConfig table;
      table.table = name;
      table.store = store.name;
      table.old_table = name;
      table.line = store.line;
      const SqliteTable& old = need_old(table);
      if (taken_.contains({store.name, old.name})) continue;
      const CatalogTable* there = find_catalog("public", old.name);
      if (there != nullptr && pg_taken_.contains({there->schema, there->name})) there = nullptr;
      if (there != nullptr) {
        add_flowing(table, old, *there);
      } else if (store.all_tables) {
        out_.warnings.push_back(
            fmt::format("{}.{} has no counterpart in PostgreSQL: it is neither copied nor fenced",
                        store.name, old.name));
      } else {
        need_catalog(table);
      }
    }
  }

  TableMap begin(const TableConfig& table, const CatalogTable& there) {
    if (!pg_taken_.insert({there.schema, there.name}).second) {
      fail(table.line, there.schema + "." + there.name, "two old tables are mapped to it",
           "one table takes from one old table");
    }
    TableMap map;
    map.schema = there.schema;
    map.table = there.name;
    map.orphans = table.orphans;
    map.only = table.only;
    map.keep_deleted = table.keep_deleted;
    map.group = table.group;
    return map;
  }

  void add_only_postgres(const TableConfig& table, const CatalogTable& there) {
    TableMap map = begin(table, there);
    add_columns(map, there, {});
    out_.mapping.tables.push_back(std::move(map));
  }

  void add_only_old(const TableConfig& table, const SqliteTable& old) {
    TableMap map;
    map.store = table.store;
    map.old_table = old.name;
    map.schema = table.schema;
    map.table = table.table;
    map.only = table.only;
    map.group = table.group;
    taken_.insert({table.store, old.name});
    out_.mapping.tables.push_back(std::move(map));
  }

  void add_flowing(const TableConfig& table, const SqliteTable& old, const CatalogTable& there) {
    TableMap map = begin(table, there);
    map.store = table.store;
    map.old_table = old.name;
    if (!taken_.insert({table.store, old.name}).second) {
      fail(table.line, table.store + "." + old.name, "the old table is mapped twice",
           "one old table goes to one table");
    }
    need_primary_key(table, there);
    add_columns(map, there, sources(table, old, there));
    check_columns(table, old, there, map);
    check_unique_key(table, old, map);
    out_.mapping.tables.push_back(std::move(map));
  }

  /// A table that takes from files: only the columns that are named, each from where it says.
  void add_of_documents(const TableConfig& table, const CatalogTable& there) {
    TableMap map = begin(table, there);
    map.store = table.store;
    map.old_table = table.old_table;
    need_primary_key(table, there);
    std::vector<Source> sources;
    for (const auto& column : table.columns) {
      sources.push_back({need_column(column, there).name, column.from, column.spellings});
    }
    add_columns(map, there, sources);
    for (std::size_t i = 0; i < map.columns.size(); ++i) {
      const ColumnMap& column = map.columns[i];
      const bool filled = !column.old_name.empty() || column.generated ||
                          find_named(there.columns, column.name)->has_default;
      const bool needed = i < map.key_width ? column.old_name.empty() : column.not_null && !filled;
      if (!needed) continue;
      fail(table.line, there.schema + "." + there.name,
           i < map.key_width
               ? fmt::format("nothing says where its key column {} comes from", column.name)
               : fmt::format("column {} is NOT NULL without a default, and nothing says where it "
                             "comes from",
                             column.name),
           fmt::format("[table.{}.columns] {} = \"/member\", or \"$uuid\" for one that is made up",
                       table.table, column.name));
    }
    out_.mapping.tables.push_back(std::move(map));
  }

  void need_primary_key(const TableConfig& table, const CatalogTable& there) const {
    if (!there.primary_key.empty()) return;
    fail(table.line, there.schema + "." + there.name, "it has no primary key",
         fmt::format("ALTER TABLE {}.{} ADD PRIMARY KEY (…)", quote_identifier(there.schema),
                     quote_identifier(there.name)));
  }

  const CatalogColumn& need_column(const ColumnConfig& column, const CatalogTable& there) const {
    if (const auto* target = find_named(there.columns, column.name)) return *target;
    fail(column.line, there.schema + "." + there.name,
         fmt::format("there is no column {} in PostgreSQL", column.name),
         did_you_mean(column.name, names_of(there.columns)));
  }

  struct Source {
    std::string name;  // in PostgreSQL
    std::string old_name;
    std::vector<Spelling> spellings;
  };

  /// Where each PostgreSQL column comes from: as configured, else the old column of equal name.
  std::vector<Source> sources(const TableConfig& table, const SqliteTable& old,
                              const CatalogTable& there) const {
    std::vector<Source> out;
    std::set<std::string> used;
    for (const auto& column : table.columns) {
      const CatalogColumn& target = need_column(column, there);
      const auto* source = find_named(old.columns, column.from);
      if (source == nullptr) {
        fail(column.line, table.store + "." + old.name,
             fmt::format("there is no column {} in SQLite", column.from),
             did_you_mean(column.from, names_of(old.columns)));
      }
      if (!used.insert(source->name).second) {
        fail(column.line, table.store + "." + old.name,
             fmt::format("column {} is mapped twice", source->name),
             "one column goes to one column");
      }
      out.push_back({target.name, source->name, column.spellings});
    }
    for (const auto& target : there.columns) {
      if (find_named(out, target.name) != nullptr) continue;
      const auto* source = find_named(old.columns, target.name);
      if (source == nullptr || used.contains(source->name)) continue;
      used.insert(source->name);
      out.push_back({target.name, source->name, {}});
    }
    return out;
  }

  /// Key columns first, in the key's order; then the others in the catalog's.
  static void add_columns(TableMap& map, const CatalogTable& there,
                          const std::vector<Source>& sources) {
    const auto add = [&](const CatalogColumn& column) {
      ColumnMap out;
      out.name = column.name;
      out.type = column.type;
      out.type_name = column.type_name;
      out.type_modifier = column.type_modifier;
      out.not_null = column.not_null;
      out.generated = column.generated;
      for (const auto& source : sources) {
        if (source.name != column.name) continue;
        out.old_name = source.old_name;
        out.spellings = source.spellings;
      }
      map.columns.push_back(std::move(out));
    };
    for (const auto& key : there.primary_key) {
      const auto* column = find_named(there.columns, key);
      if (column == nullptr) {
        throw Error(ErrorKind::kInternal, Retry::kNever,
                    fmt::format("key column {} is not in the catalog", key),
                    {.object = there.schema + "." + there.name});
      }
      add(*column);
    }
    map.key_width = static_cast<std::uint16_t>(there.primary_key.size());
    for (const auto& column : there.columns) {
      const auto& key = there.primary_key;
      if (std::find(key.begin(), key.end(), column.name) == key.end()) add(column);
    }
  }

  void check_columns(const TableConfig& table, const SqliteTable& old, const CatalogTable& there,
                     const TableMap& map) {
    const std::string name = there.schema + "." + there.name;
    std::set<std::string> carried;
    for (std::size_t i = 0; i < map.columns.size(); ++i) {
      const ColumnMap& column = map.columns[i];
      if (!column.old_name.empty()) {
        carried.insert(column.old_name);
        continue;
      }
      if (i < map.key_width) {
        fail(table.line, name,
             fmt::format("its key column {} has no counterpart in {}.{}", column.name, table.store,
                         old.name),
             fmt::format("name the old column: [table.{}.columns] {} = \"…\"", table.table,
                         column.name));
      }
      const auto* in_catalog = find_named(there.columns, column.name);
      if (column.not_null && !column.generated && !in_catalog->has_default) {
        fail(table.line, name,
             fmt::format("column {} is NOT NULL without a default, and {}.{} has none like it",
                         column.name, table.store, old.name),
             fmt::format("ALTER TABLE {}.{} ALTER COLUMN {} SET DEFAULT …, or name the old column "
                         "under [table.{}.columns]",
                         quote_identifier(there.schema), quote_identifier(there.name),
                         quote_identifier(column.name), table.table));
      }
    }
    for (const auto& column : old.columns) {
      if (carried.contains(column.name)) continue;
      out_.warnings.push_back(
          fmt::format("{}.{}: column {} has no counterpart in {} and is not carried", table.store,
                      old.name, column.name, name));
    }
  }

  /// Two old rows with one key would overwrite each other in PostgreSQL.
  void check_unique_key(const TableConfig& table, const SqliteTable& old,
                        const TableMap& map) const {
    std::vector<std::string> key;
    for (std::size_t i = 0; i < map.key_width; ++i) key.push_back(map.columns[i].old_name);
    const auto in_key = [&](int column) {
      return column >= 0 &&
             std::find(key.begin(), key.end(),
                       old.columns.at(static_cast<std::size_t>(column)).name) != key.end();
    };
    if (!old.primary_key.empty() &&
        std::all_of(old.primary_key.begin(), old.primary_key.end(), in_key)) {
      return;
    }
    for (const auto& unique : old.unique_indexes) {
      if (unique.where.empty() &&
          std::all_of(unique.terms.begin(), unique.terms.end(),
                      [&](const auto& term) { return in_key(term.column); })) {
        return;
      }
    }
    std::vector<std::string> quoted;
    for (const auto& column : key) quoted.push_back(quote_identifier(column));
    fail(table.line, table.store + "." + old.name,
         fmt::format("nothing keeps ({}) unique in SQLite, which is the key of {}.{}",
                     fmt::join(key, ", "), map.schema, map.table),
         fmt::format("CREATE UNIQUE INDEX … ON {} ({})", quote_identifier(old.name),
                     fmt::join(quoted, ", ")));
  }

  void check_orphans(const TableMap& table) const {
    if (table.orphans != Orphans::kNull) return;
    for (const auto& key : table.foreign_keys) {
      for (const auto column : key.columns) {
        if (!table.columns[column].not_null) continue;
        fail(0, table.schema + "." + table.table,
             fmt::format("orphans = \"null\", but column {} of foreign key {} is NOT NULL",
                         table.columns[column].name, key.name),
             "use orphans = \"quarantine\" or \"leave\", or drop the NOT NULL");
      }
    }
  }

  /// A row that stays holds its parent.
  void check_kept(const TableMap& table) const {
    if (!table.keep_deleted || table.orphans == Orphans::kLeave) return;
    for (const auto& key : table.foreign_keys) {
      const TableMap& parent = out_.mapping.table(key.parent);
      if (!parent.flows() || parent.keep_deleted) continue;
      fail(0, table.schema + "." + table.table,
           fmt::format("deletes = \"keep\", but its rows refer to {} by foreign key {}, whose rows "
                       "are deleted",
                       parent.table, key.name),
           fmt::format("[table.{}] deletes = \"keep\" too, or orphans = \"leave\" here",
                       parent.table));
    }
  }

  const Config& config_;
  const std::vector<StoreSchema>& stores_;
  const std::vector<CatalogTable>& catalog_;
  BuiltMapping out_;
  std::set<std::pair<std::string, std::string>> taken_;     // store, old table
  std::set<std::pair<std::string, std::string>> pg_taken_;  // schema, table
};

}  // namespace

BuiltMapping build_mapping(const Config& config, const std::vector<StoreSchema>& stores,
                           const std::vector<CatalogTable>& catalog) {
  return Builder(config, stores, catalog).build();
}

std::vector<CatalogTable> overlay_dropped(std::vector<CatalogTable> catalog,
                                          const std::vector<DroppedKey>& dropped) {
  for (const auto& object : dropped) {
    const auto table = std::find_if(catalog.begin(), catalog.end(), [&](const CatalogTable& there) {
      return there.schema == object.schema && there.name == object.table;
    });
    if (table == catalog.end()) continue;
    const bool primary = object.definition.starts_with("PRIMARY KEY");
    const bool foreign = object.definition.starts_with("FOREIGN KEY");
    if (!primary && !foreign) continue;
    const auto key = parse_primary_key(object.definition);
    const auto reference = parse_foreign_key(object.name, object.definition, "public");
    if (primary ? !key : !reference) {
      throw Error(ErrorKind::kData, Retry::kNever,
                  fmt::format("the stored definition of {} cannot be read: {}", object.name,
                              object.definition),
                  {.object = object.schema + "." + object.table});
    }
    if (primary) {
      if (table->primary_key.empty()) table->primary_key = *key;
      for (auto& column : table->columns) {
        if (std::find(key->begin(), key->end(), column.name) != key->end()) column.not_null = true;
      }
    } else if (find_named(table->foreign_keys, object.name) == nullptr) {
      table->foreign_keys.push_back(*reference);
    }
  }
  return catalog;
}

std::string mapping_outline(const Mapping& mapping) {
  std::string out;
  for (const auto& table : mapping.tables) {
    std::vector<std::string> key;
    for (std::size_t i = 0; i < table.key_width; ++i) {
      key.push_back(fmt::format("{}={}", table.columns[i].name, table.columns[i].old_name));
    }
    out +=
        fmt::format("{} {}.{} <- {}.{} ({}) group {}\n", index(table.id), table.schema, table.table,
                    table.store, table.old_table, fmt::join(key, ", "), table.group);
  }
  return out;
}

}  // namespace switchback
