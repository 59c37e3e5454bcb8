// A database with the given schema, mapped by the catalog and installed as a bridge would, and a
// way to write chunks whose cells are given in PostgreSQL's text form.
// One thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "replication/catalog.h"
#include "replication/codec.h"
#include "replication/connection.h"
#include "replication/install.h"
#include "replication/sink.h"
#include "tests/support/postgres_cluster.h"

namespace switchback::test {

using Values = std::vector<std::optional<std::string>>;

inline TableMap map_table(const CatalogTable& table, TableId id) {
  TableMap map;
  map.id = id;
  map.store = "app";
  map.old_table = map.table = table.name;
  map.schema = table.schema;
  map.key_width = static_cast<std::uint16_t>(table.primary_key.size());
  map.rank = static_cast<std::uint16_t>(index(id));
  const auto add = [&](const CatalogColumn& column) {
    map.columns.push_back({column.name,
                           column.name,
                           column.type,
                           column.type_name,
                           column.type_modifier,
                           column.not_null,
                           column.generated,
                           {}});
  };
  const auto in_key = [&](const CatalogColumn& column) {
    return std::count(table.primary_key.begin(), table.primary_key.end(), column.name) != 0;
  };
  for (const auto& name : table.primary_key) {
    for (const auto& column : table.columns) {
      if (column.name == name) add(column);
    }
  }
  for (const auto& column : table.columns) {
    if (!in_key(column)) add(column);
  }
  return map;
}

inline void map_foreign_keys(const CatalogTable& table, Mapping& mapping, TableMap& map) {
  const auto number = [](const TableMap& of, const std::string& name) {
    std::uint16_t i = 0;
    while (of.columns[i].name != name) ++i;
    return i;
  };
  for (const auto& key : table.foreign_keys) {
    ForeignKey made;
    made.name = key.name;
    made.on_delete = key.on_delete;
    made.on_update = key.on_update;
    made.parent = mapping.find(key.parent_schema, key.parent_table).value();
    for (const auto& name : key.columns) made.columns.push_back(number(map, name));
    for (const auto& name : key.parent_columns) {
      made.parent_columns.push_back(number(mapping.table(made.parent), name));
    }
    map.foreign_keys.push_back(made);
  }
}

class SinkFixture : public ::testing::Test {
 protected:
  /// Every table of the schema is mapped, by schema and name.
  void make(const std::string& schema) {
    conninfo_ = fresh_database();
    connection_.emplace(Connection::open(conninfo_, "test"));
    connection_->exec("SET search_path = public");
    connection_->exec(schema);
    mapping_ = std::make_shared<Mapping>();
    mapping_->bridge = "test";
    const auto catalog = read_catalog(*connection_);
    for (const auto& table : catalog) {
      mapping_->tables.push_back(map_table(table, TableId(mapping_->tables.size())));
    }
    for (std::size_t i = 0; i < catalog.size(); ++i) {
      map_foreign_keys(catalog[i], *mapping_, mapping_->tables[i]);
    }
    install_postgres(*connection_, *mapping_, "app");
    sink_ = open_sink();
    sink_->applied();
  }
  std::unique_ptr<ChangeSink> open_sink() { return open_postgres_sink(conninfo_, mapping_, "app"); }

  TableMap& table(const std::string& name) {
    for (auto& map : mapping_->tables) {
      if (map.table == name) return map;
    }
    throw std::runtime_error("no table " + name);
  }
  void add_cells(const TableMap& map, const Values& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i]) {
        chunk_.add(Cell::null());
      } else if (*values[i] == "<unchanged>") {
        chunk_.add(Cell::unchanged());
      } else {
        chunk_.add(decode_text(map.columns[i], *values[i], chunk_));
      }
    }
  }
  void upsert(const std::string& name, const Values& values) {
    add_cells(table(name), values);
    chunk_.end_upsert(table(name).id);
  }
  void rename(const std::string& name, const Values& old_key, const Values& values) {
    add_cells(table(name), old_key);
    add_cells(table(name), values);
    chunk_.end_rename(table(name).id, table(name).key_width);
  }
  void remove(const std::string& name, const Values& key) {
    add_cells(table(name), key);
    chunk_.end_delete(table(name).id);
  }
  void misfit(const std::string& name, const Values& key, const std::string& reason) {
    add_cells(table(name), key);
    chunk_.end_misfit(table(name).id, reason);
  }
  /// Applies what was added as one chunk of a batch that goes on.
  void apply() {
    sink_->apply(chunk_, rejects_);
    chunk_.clear();
  }
  /// Applies what was added as the last chunk and commits; the batch's rejects.
  std::vector<Reject> commit() {
    chunk_.boundary = Position{7, ++value_, 1};
    sink_->apply(chunk_, rejects_);
    sink_->commit(*chunk_.boundary, rejects_);
    chunk_.clear();
    return std::exchange(rejects_, {});
  }
  std::string sql(const std::string& statement) {
    return PostgresCluster::shared().sql(conninfo_, statement);
  }

  std::string conninfo_;
  std::optional<Connection> connection_;
  std::shared_ptr<Mapping> mapping_;
  std::unique_ptr<ChangeSink> sink_;
  Chunk chunk_;
  std::vector<Reject> rejects_;
  std::uint64_t value_ = 0;
};

}  // namespace switchback::test
