// Running the statements of a schema file: what creates something is run unless it is there, and
// what would alter a table that was there before is left out.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "replication/schema_file.h"
#include "state/base/failpoint.h"

namespace switchback {
namespace {

/// The first words of a statement: lower case unless quoted, a qualified name as one word.
std::vector<std::string> first_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size() && words.size() < 12; ++i) {
    const char c = text[i];
    if (!quoted && text.substr(i).starts_with("--")) {
      i = std::min(text.find('\n', i), text.size());
    } else if (quoted || c == '"') {
      quoted = c == '"' ? !quoted : quoted;
      word += c;
      continue;
    } else if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' ||
               c == '$' || static_cast<unsigned char>(c) >= 0x80) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
    if (c == '(') break;
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

struct StatementTarget {
  std::string table;  // that the statement adds to; empty: it stands for itself
  std::string index;  // the name of an index to be made; empty: none or not named
};

StatementTarget target_of(std::vector<std::string> words) {
  for (const char* filler : {"if", "not", "exists", "only", "unique", "concurrently"}) {
    std::erase(words, filler);
  }
  const auto at = [&](std::size_t i) { return i < words.size() ? words[i] : std::string(); };
  if (at(0) == "alter" && at(1) == "table") return {at(2), ""};
  if (at(0) == "insert" && at(1) == "into") return {at(2), ""};
  if (at(0) == "create" && at(1) == "index" && at(2) == "on") return {at(3), ""};
  if (at(0) == "create" && at(1) == "index") return {at(4), at(2)};
  return {};
}

/// What stood before the file was run.
class Standing {
 public:
  explicit Standing(Connection& connection) : connection_(connection) {
    const Result tables = connection.exec("SELECT oid FROM pg_class WHERE relkind IN ('r', 'p')");
    for (int i = 0; i < tables.rows(); ++i) tables_.insert(tables.string(i, 0));
    if (connection.exec("SELECT to_regclass('switchback.dropped_object')").is_null(0, 0)) return;
    const Result dropped = connection.exec("SELECT name FROM switchback.dropped_object");
    for (int i = 0; i < dropped.rows(); ++i) dropped_.insert(dropped.string(i, 0));
  }

  /// True if the statement would alter a table that was there, or make again what the load has
  /// taken off and will make by itself.
  bool forbids(const std::vector<std::string>& words) const {
    const StatementTarget target = target_of(words);
    if (target.table.empty()) return false;
    const Result found = connection_.exec("SELECT to_regclass($1)::oid", {target.table});
    if (found.is_null(0, 0) || !tables_.contains(found.string(0, 0))) return false;
    std::string name = target.index;
    std::erase(name, '"');
    return name.empty() || dropped_.contains(name);
  }

 private:
  Connection& connection_;
  std::set<std::string> tables_, dropped_;
};

bool exists_already(const Error& error) {
  const std::string& state = error.detail().sqlstate;
  // duplicate table (also an index or a sequence), object, schema, function
  return state == "42P07" || state == "42710" || state == "42P06" || state == "42723" ||
         (state == "42P16" && error.message().starts_with("multiple primary keys"));
}

bool transaction_command(const std::vector<std::string>& words) {
  const std::string first = words.empty() ? std::string() : words.front();
  return first == "begin" || first == "commit" || first == "rollback" || first == "end" ||
         first == "start";
}

bool run_one(Connection& connection, const SqlStatement& statement) {
  connection.exec("SAVEPOINT switchback_schema");
  try {
    connection.exec(std::string(statement.text));
    connection.exec("RELEASE SAVEPOINT switchback_schema");
    return true;
  } catch (const Error& error) {
    if (!connection.alive() || !exists_already(error)) throw;
    connection.exec("ROLLBACK TO SAVEPOINT switchback_schema; RELEASE SAVEPOINT switchback_schema");
    return false;
  }
}

}  // namespace

std::vector<std::string> apply_schema(Connection& connection, std::string_view sql,
                                      const std::string& file) {
  std::vector<std::string> ran;
  const auto statements = split_sql(sql);
  const bool alone = !connection.in_transaction();
  int line = 0;
  try {
    // The application's file means its own search path, where new tables go to public.
    if (alone) connection.exec("BEGIN");
    connection.exec("SET LOCAL search_path = public");
    const Standing standing(connection);
    for (const SqlStatement& statement : statements) {
      line = statement.line;
      const auto words = first_words(statement.text);
      if (transaction_command(words) || standing.forbids(words)) continue;
      if (run_one(connection, statement)) ran.emplace_back(statement.text);
    }
    connection.exec("SET LOCAL search_path = pg_catalog, public");
    if (alone) {
      failpoint("pg.schema.commit.before");
      connection.exec("COMMIT");
      failpoint("pg.schema.commit.after");
    }
  } catch (const Error& error) {
    if (alone && connection.alive()) PQclear(PQexec(connection.raw(), "ROLLBACK"));
    ErrorDetail detail = error.detail();
    detail.object = fmt::format("{}:{}", file, line);
    throw Error(error.kind(), error.retry(), error.message(), std::move(detail));
  }
  return ran;
}

}  // namespace switchback
