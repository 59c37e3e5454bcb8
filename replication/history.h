// Which history of PostgreSQL a position belongs to: a hash of the cluster's system identifier and
// timeline. A cluster restored from a backup, another cluster and a promoted standby each have a
// different one, so that no LSN of one is ever compared with an LSN of another. Called by sources
// and gates; as thread-safe as the connection handed in.
#pragma once

#include <cstdint>
#include <string_view>

#include "replication/connection.h"

namespace switchback {

/// Asks over a replication connection (IDENTIFY_SYSTEM). 63 bits, never 0.
/// https://www.postgresql.org/docs/15/protocol-replication.html
std::uint64_t postgres_history(Connection& replication);

/// The same number over an SQL connection to the primary; needs no special right.
std::uint64_t postgres_history_by_sql(Connection& sql);

/// The hash itself: `system` in decimal digits, as the server spells it.
std::uint64_t history_hash(std::string_view system, std::int64_t timeline);

}  // namespace switchback
