#include "replication/connection.h"

#include <array>
#include <charconv>

namespace switchback {
namespace {

// Pinned for every SQL session; see the header. A GUC set here outranks ALTER ROLE and ALTER
// DATABASE settings.
constexpr const char* kSessionSettings =
    "SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD';"
    "SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 3; SET bytea_output = 'hex';"
    "SET standard_conforming_strings = on; SET search_path = pg_catalog, public;"
    "SET synchronous_commit = on; SET row_security = off; SET statement_timeout = 0;"
    "SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
    "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed';"
    "SET default_transaction_deferrable = off; SET check_function_bodies = on";

struct Advice {
  ErrorKind kind;
  Retry retry;
};

Advice advice_for(std::string_view state) {
  const auto category = state.substr(0, 2);
  if (state.empty() || category == "08" || state == "57P01" || state == "57P02" ||
      state == "57P03") {
    return {ErrorKind::kUnreachable, Retry::kLater};
  }
  if (category == "53" || category == "58") return {ErrorKind::kDisk, Retry::kLater};
  if (category == "40" || state == "55P03" || state == "55006" || state == "57014" ||
      state == "25P03") {
    return {ErrorKind::kBusy, Retry::kLater};
  }
  if (category == "22" || category == "23") return {ErrorKind::kData, Retry::kNever};
  if (category == "42" && state != "42501") return {ErrorKind::kData, Retry::kNever};
  return {ErrorKind::kRefused, Retry::kNever};
}

// What a person can do about it; for most states the message itself says all there is to say.
const char* next_for(std::string_view state) {
  if (state == "53100") return "free space on PostgreSQL's disk";
  if (state == "53300") return "end some connections to PostgreSQL, or raise max_connections";
  if (state == "42501") return "give the role its rights: ops/grants.sql";
  if (state == "25006") return "let the URL name the primary server, not a standby";
  return "";
}

std::string trimmed(const char* text) {
  std::string line = text != nullptr ? text : "";
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  return line;
}

void check(PGconn* conn, const PGresult* result, std::string_view doing) {
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_BOTH:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
      return;
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_SINGLE_TUPLE:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
      throw_postgres_error(conn, result, doing);
  }
}

}  // namespace

void throw_postgres_error(PGconn* conn, const PGresult* result, std::string_view doing) {
  const char* field = result != nullptr ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const std::string state = field != nullptr ? field : "";
  const bool lost = PQstatus(conn) != CONNECTION_OK;
  std::string message;
  if (result != nullptr) {
    message = trimmed(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    const std::string detail = trimmed(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
    if (!detail.empty()) message += " (" + detail + ")";
  }
  if (message.empty()) message = trimmed(PQerrorMessage(conn));
  if (!doing.empty())
    message += std::string(", while running: ") + std::string(doing.substr(0, 120));
  const Advice advice = lost ? Advice{ErrorKind::kUnreachable, Retry::kLater} : advice_for(state);
  throw Error(advice.kind, advice.retry, message,
              {.object = "PostgreSQL", .sqlstate = state, .next = next_for(state)});
}

std::int64_t Result::integer(int row, int column) const {
  const std::string_view digits = text(row, column);
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc() || end != digits.data() + digits.size()) {
    throw Error(ErrorKind::kInternal, Retry::kNever,
                "expected an integer from the server, got '" + std::string(digits) + "'");
  }
  return value;
}

Connection Connection::open(const std::string& conninfo, const std::string& name,
                            ConnectionUse use) {
  // expand_dbname lets the URL come first and the later keywords outrank it.
  const bool replication = use == ConnectionUse::kReplication;
  const std::array keywords = {"dbname",
                               "application_name",
                               "connect_timeout",
                               "keepalives",
                               "keepalives_idle",
                               "keepalives_interval",
                               "keepalives_count",
                               "tcp_user_timeout",
                               "client_encoding",
                               replication ? "replication" : static_cast<const char*>(nullptr),
                               static_cast<const char*>(nullptr)};
  const std::array values = {conninfo.c_str(),
                             name.c_str(),
                             "10",
                             "1",
                             "10",
                             "5",
                             "3",
                             "30000",
                             "UTF8",
                             "database",
                             static_cast<const char*>(nullptr)};
  Connection connection(PQconnectdbParams(keywords.data(), values.data(), 1));
  if (PQstatus(connection.raw()) != CONNECTION_OK) {
    throw Error(ErrorKind::kUnreachable, Retry::kLater, trimmed(PQerrorMessage(connection.raw())),
                {.object = "PostgreSQL",
                 .sqlstate = {},
                 .next = "check that the server runs and that [postgres] url, DATABASE_URL or the "
                         "PG* variables name it"});
  }
  // Notices (an object that already exists, say) are not for our users.
  PQsetNoticeProcessor(
      connection.raw(), [](void*, const char*) {}, nullptr);
  if (!replication) connection.exec(kSessionSettings);
  return connection;
}

Result Connection::exec(const std::string& sql) {
  Result result(PQexec(raw(), sql.c_str()));
  check(raw(), result.get(), sql);
  return result;
}

Result Connection::exec(const std::string& sql,
                        std::span<const std::optional<std::string>> parameters) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const auto& parameter : parameters) {
    values.push_back(parameter ? parameter->c_str() : nullptr);
  }
  Result result(PQexecParams(raw(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                             values.data(), nullptr, nullptr, 0));
  check(raw(), result.get(), sql);
  return result;
}

}  // namespace switchback
