// The gate of a SQLite side: what holds writers off, fences and unfences one group. Writers are
// held off by SQLite's own write lock, so they wait in their busy timeout; the fence and the gate
// row change in one transaction, so a crash leaves the side exactly open or exactly closed. In
// rollback-journal mode a COMMIT needs every reader to be gone, and a COMMIT that is refused blocks
// new readers while it waits: so close() tries for milliseconds only, and when it then says false
// the lock is gone as well (nothing was changed; the flip undoes and tries again as a whole).
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "state/model/table_map.h"
#include "state/ports/write_gate.h"
#include "watchers/sqlite/fence.h"

namespace switchback {

class SqliteGate : public WriteGate {
 public:
  SqliteGate(SQLite::Database database, std::filesystem::path path,
             std::shared_ptr<const Mapping> mapping, std::string store, std::string group);
  ~SqliteGate() override;

  GateState inspect(Deadline deadline) override;
  std::vector<GateCheck> look() override;
  void make_ready_to_open() override;
  bool lock(Deadline deadline) override;
  Position mark() override;
  std::vector<Counter> counters() override;
  bool prepare(Epoch epoch, const OpenPlan& plan, Deadline deadline) override;
  Position applied() override;
  bool close(Epoch epoch, Deadline deadline) override;
  void open(Epoch epoch, const OpenPlan& plan) override;
  void unlock() noexcept override;
  void settle_closed() override {}

 private:
  enum class Held { kNothing, kLocked, kPrepared };
  struct Row {
    bool open = true;
    Epoch epoch = 0;
  };

  template <class Call>
  auto guarded(Call&& call);
  bool begin(const char* statement, Deadline deadline);
  bool commit(Deadline deadline);
  std::optional<Row> read_row();
  void write_row(bool open, Epoch epoch);
  GateState state();
  bool settled_at(GateState::Door door, Epoch epoch);
  void execute_open(Epoch epoch, const OpenPlan& plan);
  void raise_counter(const Counter& counter);
  std::int64_t highest_key(const TableMap& map, const ColumnMap& key);
  std::vector<FenceTrigger> fence(Epoch epoch) const;
  void require(Held held, const char* call) const;

  SQLite::Database database_;
  std::filesystem::path path_;
  std::shared_ptr<const Mapping> mapping_;
  std::string store_;
  std::string group_;
  Held held_ = Held::kNothing;
  Epoch prepared_epoch_ = 0;
  Epoch fence_epoch_ = 0;  // of the uncommitted fence that lock() made
};

/// Opens a connection of its own. Throws Error.
std::unique_ptr<WriteGate> open_sqlite_gate(const std::filesystem::path& path,
                                            std::shared_ptr<const Mapping> mapping,
                                            const std::string& store, const std::string& group);

}  // namespace switchback
