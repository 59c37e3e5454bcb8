#include "replication/pipeline.h"

#include "replication/array_encoder.h"

namespace switchback {
namespace {

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text != nullptr ? text : "";
}

/// Classes whose cause lies in the rows: a value that does not fit (22), a constraint (23), a key
/// twice in one statement (21), WITH CHECK OPTION (44), a value too large for an index or too deep
/// to parse (54), and an exception that the application's own trigger raised.
/// https://www.postgresql.org/docs/15/errcodes-appendix.html
bool about_rows(std::string_view state) {
  const std::string_view category = state.substr(0, 2);
  return category == "22" || category == "23" || category == "21" || category == "44" ||
         category == "54" || state == "P0001";
}

std::vector<const char*> pointers(std::span<const std::optional<std::string>> parameters) {
  std::vector<const char*> values;
  for (const auto& parameter : parameters) {
    values.push_back(parameter ? parameter->c_str() : nullptr);
  }
  return values;
}

}  // namespace

std::optional<RowError> row_error(const PGresult* result) {
  RowError error;
  error.sqlstate = field(result, PG_DIAG_SQLSTATE);
  if (!about_rows(error.sqlstate)) return std::nullopt;
  error.table = field(result, PG_DIAG_TABLE_NAME);
  error.constraint = field(result, PG_DIAG_CONSTRAINT_NAME);
  error.reason = field(result, PG_DIAG_MESSAGE_PRIMARY);
  const std::string detail = field(result, PG_DIAG_MESSAGE_DETAIL);
  if (!detail.empty()) error.reason += " (" + detail + ")";
  return error;
}

Pipeline::Pipeline(Connection& connection) : connection_(connection) {
  if (PQenterPipelineMode(connection.raw()) != 1) {
    throw_postgres_error(connection.raw(), nullptr, "entering pipeline mode");
  }
}

void Pipeline::sent(int ok, std::string doing) {
  if (ok != 1) throw_postgres_error(connection_.raw(), nullptr, doing);
  statements_.push_back({std::move(doing), {}});
}

void Pipeline::send(const std::string& sql,
                    std::span<const std::optional<std::string>> parameters) {
  const std::vector<const char*> values = pointers(parameters);
  sent(PQsendQueryParams(connection_.raw(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                         values.data(), nullptr, nullptr, 0),
       sql);
}

void Pipeline::send_prepared(const std::string& name,
                             std::initializer_list<std::optional<std::string>> parameters) {
  const std::vector<const char*> values = pointers({parameters.begin(), parameters.size()});
  sent(PQsendQueryPrepared(connection_.raw(), name.c_str(), static_cast<int>(values.size()),
                           values.data(), nullptr, nullptr, 0),
       name);
}

void Pipeline::send_prepared(const std::string& name, const ArrayParameters& arrays,
                             std::optional<std::uint64_t> must_affect) {
  sent(PQsendQueryPrepared(connection_.raw(), name.c_str(), arrays.count(), arrays.values(),
                           arrays.lengths(), arrays.formats(), 0),
       name);
  statements_.back().must_affect = must_affect;
}

void Pipeline::take(std::size_t statement, Outcome& outcome) {
  // Each statement's results end with a null; after a failure the later ones are "aborted".
  while (PGresult* raw = PQgetResult(connection_.raw())) {
    Result result(raw);
    const ExecStatusType status = PQresultStatus(raw);
    const bool failed_before = outcome.error.has_value() || fatal_.has_value();
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
      outcome.last_tag = PQcmdStatus(raw);
      const auto& must = statements_[statement].must_affect;
      if (!failed_before && must && std::to_string(*must) != PQcmdTuples(raw)) {
        outcome.error =
            RowError{"", "the row is not there, and its unchanged columns were not sent", "", ""};
      }
    } else if (status != PGRES_PIPELINE_ABORTED && !failed_before) {
      outcome.error = row_error(raw);
      if (!outcome.error) {
        fatal_ = std::move(result);
        fatal_statement_ = statement;
      }
    }
  }
}

Pipeline::Outcome Pipeline::finish() {
  PGconn* conn = connection_.raw();
  if (PQpipelineSync(conn) != 1) throw_postgres_error(conn, nullptr, "ending a pipeline");
  Outcome outcome;
  for (std::size_t i = 0; i < statements_.size(); ++i) take(i, outcome);
  const Result sync(PQgetResult(conn));
  const bool left =
      PQresultStatus(sync.get()) == PGRES_PIPELINE_SYNC && PQexitPipelineMode(conn) == 1;
  if (fatal_) throw_postgres_error(conn, fatal_->get(), statements_[fatal_statement_].doing);
  if (!left) throw_postgres_error(conn, sync.get(), "ending a pipeline");
  return outcome;
}

}  // namespace switchback
