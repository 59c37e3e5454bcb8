// Logical replication slots: made and dropped by the gate around a cutover, inspected by the
// source, `check` and `status`. Where a slot began is recorded in switchback.slot: a server
// silently skips ahead to what a slot has confirmed, and only of a slot that has confirmed nothing
// but its own beginning is it known that nothing is skipped. Stateless; as thread-safe as the
// connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/connection.h"
#include "replication/lsn.h"

namespace switchback {

struct SlotState {
  bool exists = false;
  bool is_here = false;  // in the database of the connection; slots are the cluster's
  std::string plugin, database;
  std::optional<std::int64_t> active_pid;
  Lsn confirmed;           // confirmed_flush_lsn: changes up to here will never be sent again
  Lsn restart;             // WAL is kept from here on
  std::string wal_status;  // reserved, extended, unreserved, or lost
};

SlotState inspect_slot(Connection& sql, const std::string& slot);

/// Makes a slot for pgoutput and returns its consistent point: every transaction that commits after
/// it will be decoded. Waits for transactions that run now. The publication must exist and be
/// committed. Throws Error(kRefused) if the slot is there already.
Lsn create_slot(Connection& replication, const std::string& slot);

/// Throws Error(kRefused) if the slot is another database's.
void require_free_name(const SlotState& state, const std::string& slot);

/// Drops it if this database has it, once nobody streams from it: a server takes a moment to notice
/// that its client has gone. Error(kBusy) if somebody still does after some seconds.
void drop_slot(Connection& sql, const std::string& slot);

/// Where the slot began, if that is on record.
std::optional<Lsn> slot_birth(Connection& sql, std::string_view bridge, std::string_view store,
                              const std::string& slot);

/// Whether the application may be writing to PostgreSQL's side of the store now.
enum class Writers { kFenced, kPossible };

/// Makes sure there is a healthy slot whose birth is on record; keeps one that is. Any other is
/// made anew if all writers are fenced, so that no change can fall between an old slot and a new
/// one; else throws Error(kHistory); Error(kRefused) if another database has its name. Idempotent;
/// a crash in between is mended by the next call.
void make_slot_ready(Connection& sql, Connection& replication, std::string_view bridge,
                     std::string_view store, const std::string& slot, Writers writers);

/// Makes it anew while PostgreSQL takes writes, and says where it begins. Its birth is not put on
/// record: what lies between the old store's position and there will never be sent, so that the
/// source refuses it until a full comparison has moved that position to here.
Lsn renew_slot(Connection& sql, Connection& replication, std::string_view bridge,
               std::string_view store, const std::string& slot);

/// Drops the slot and its record. Idempotent.
void remove_slot(Connection& sql, std::string_view bridge, std::string_view store,
                 const std::string& slot);

}  // namespace switchback
