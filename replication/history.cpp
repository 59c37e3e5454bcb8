#include "replication/history.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace switchback {
namespace {

// pg_control_checkpoint() would name the timeline of the last checkpoint, which right after a
// promotion is still the old one; the name of the file being written is always of the current one.
constexpr const char* kIdentify =
    "SELECT s.system_identifier,"
    " ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))"
    "::pg_catalog.bit(32)::pg_catalog.int8"
    " FROM pg_catalog.pg_control_system() s";

}  // namespace

std::uint64_t history_hash(std::string_view system, std::int64_t timeline) {
  const std::string both = fmt::format("{}/{}", system, timeline);
  const std::uint64_t hash = XXH3_64bits(both.data(), both.size()) >> 1;
  return hash == 0 ? 1 : hash;  // 0 means "no history" in a Position
}

std::uint64_t postgres_history(Connection& replication) {
  const Result result = replication.exec("IDENTIFY_SYSTEM");
  if (result.rows() != 1) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "IDENTIFY_SYSTEM gave no row",
                {.object = "PostgreSQL"});
  }
  return history_hash(result.text(0, 0), result.integer(0, 1));
}

std::uint64_t postgres_history_by_sql(Connection& sql) {
  const Result result = sql.exec(kIdentify);
  return history_hash(result.text(0, 0), result.integer(0, 1));
}

}  // namespace switchback
