// PostgreSQL's side of a flip: locks, closes (fences) and opens the tables of one group. The gate
// row in switchback.group_state changes in the same transaction as the fence, so that each instant
// is wholly before or wholly after. Writers are held off by relation locks, which queue them
// without refusing any and which transactions of every isolation level see. Used by one thread, the
// flip's; has connections of its own, made when first needed and again after they were lost.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "replication/connection.h"
#include "replication/fence.h"
#include "state/ports/write_gate.h"

namespace switchback {

class PostgresGate final : public WriteGate {
 public:
  PostgresGate(std::string conninfo, std::shared_ptr<const Mapping> mapping, std::string store,
               std::string group);
  ~PostgresGate() override;

  GateState inspect(Deadline deadline) override;
  /// Also makes a running autovacuum yield, by waiting for its lock in a mode that stops no writer.
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
  void settle_closed() override;

 private:
  enum class Held { kNothing, kLock, kOpening };

  Connection& connection();
  /// BEGIN on a live connection, with the server told to end it at the deadline.
  void begin(Deadline deadline);
  void limit(Deadline deadline, std::chrono::milliseconds lock_timeout);
  bool try_lock(Deadline deadline, bool closing);
  /// Runs `attempt` and turns "no lock in time" into false, with everything rolled back.
  template <class Attempt>
  bool in_time(Attempt attempt);
  void close_gate_row(Epoch epoch);
  void open_locked(Epoch epoch, const OpenPlan& plan);
  void commit();
  std::chrono::milliseconds deadlock_timeout();
  bool store_is_open();
  void make_autovacuum_yield();

  const std::string conninfo_, store_, group_;
  const std::shared_ptr<const Mapping> mapping_;
  const std::vector<TableId> tables_;
  std::optional<Connection> connection_, marker_;
  Held held_ = Held::kNothing;
  Epoch prepared_ = 0;
  std::minstd_rand random_;
};

/// What a flip would stumble over, as found on `connection` outside of any transaction.
std::vector<GateCheck> look_at_gates(Connection& connection, const Mapping& mapping,
                                     std::string_view store, const std::vector<TableId>& tables);

}  // namespace switchback
