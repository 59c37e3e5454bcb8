// The initial load into PostgreSQL: rows of the old side stream in as binary COPY, two streams at a
// time, while the application writes on. Tables found empty lose their keys, indexes and
// constraints for it and get them again. Every step commits together with the note of how far it
// came, so a killed load resumes. Called by the program in the order of LoadStep; between kCatchUp
// and kRest the pump applies what was written meanwhile. One thread calls it; it has threads and
// connections of its own.
//
//   InitialLoad load(…);
//   if (load.step() == kCopy) load.copy(stop);
//   if (load.step() == kKeys) { for each chunk of the log: load.remove_keys(chunk);
//   load.build_keys(); } if (load.step() == kCatchUp) { pump until caught up; load.caught_up(); }
//   if (load.step() == kRest) load.build_rest(stop);
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "replication/connection.h"
#include "replication/load_objects.h"
#include "state/model/table_map.h"
#include "state/ports/row_reader.h"

namespace switchback {

enum class LoadStep { kCopy, kKeys, kCatchUp, kRest, kDone };

struct LoadCount {
  std::string what;        // the table being copied or the object being built; may be empty
  std::uint64_t rows = 0;  // over all tables
  std::uint64_t estimate = 0;
  std::uint64_t objects = 0;  // built of objects_total
  std::uint64_t objects_total = 0;
};

struct LoadSetup {
  std::string conninfo;
  std::string store;
  std::shared_ptr<const Mapping> mapping;
  bool drop_constraints = true;
  /// Makes a reader of the old side; called once per table, on the thread that uses it.
  std::function<std::unique_ptr<RowReader>()> make_reader;
  /// Called on the thread that called copy() or build_…, a few times a second; may be empty.
  std::function<void(const LoadCount&)> progress;
};

class InitialLoad {
 public:
  explicit InitialLoad(LoadSetup setup) : setup_(std::move(setup)) {}

  /// What is to be done next, as PostgreSQL remembers it.
  LoadStep step();

  /// Copies all rows that are not copied yet. Returns early, with step() still kCopy, on a stop.
  void copy(std::stop_token stop);

  /// Notes keys (the first key_width cells of each change) that were written during the copy; their
  /// rows are removed before primary keys are built, since the copy may have met them twice or
  /// half. The pump brings them again. Nothing is removed from tables that kept their primary key.
  void remove_keys(const Chunk& keys);
  /// Removes what remove_keys() noted and builds the primary keys.
  void build_keys();
  /// After the pump has applied everything up to a position later than the copy.
  void caught_up();
  /// Unique constraints, indexes, checks, foreign keys; then ANALYZE.
  void build_rest(std::stop_token stop);

 private:
  Connection connect(const std::string& use) const;
  Connection& connection();
  void prepare(RowReader& planner);
  bool foreign_keys_stand(const std::vector<TableId>& tables);
  void finish(LoadStep done);
  std::vector<TableId> loaded_tables();
  void build(const std::vector<DroppedObject>& objects, std::stop_token stop);
  void report(const std::string& what, std::uint64_t built, std::uint64_t total);

  const LoadSetup setup_;
  std::optional<Connection> connection_;
  std::atomic<std::uint64_t> rows_{0};
  std::uint64_t estimate_ = 0;
  std::vector<bool> noted_;  // per table: a temporary table of keys exists on connection_
};

}  // namespace switchback
