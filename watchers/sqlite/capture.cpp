#include "watchers/sqlite/capture.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>

#include "state/base/error.h"
#include "state/base/mutation.h"
#include "state/base/sql_quote.h"
#include "watchers/sqlite/affinity.h"
#include "watchers/sqlite/objects.h"
#include "watchers/sqlite/sql_scan.h"

namespace switchback {
namespace {

using Names = std::vector<std::string>;

std::string join(const Names& parts, std::string_view between) {
  return fmt::format("{}", fmt::join(parts, between));
}

/// SQLite takes a bare or double-quoted word after DEFAULT for text; elsewhere it would be a
/// column.
std::string default_expression(const std::string& sql) {
  const auto tokens = scan_sql(sql);
  if (tokens.size() != 1) return sql;
  const std::string_view text = tokens.front().text;
  if (text.front() == '"' || text.front() == '`' || text.front() == '[') {
    return quote_literal(text.substr(1, text.size() - 2));
  }
  for (const std::string_view word :
       {"NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"}) {
    if (tokens.front().is(word)) return sql;
  }
  const bool word = !tokens.front().quoted && (text.front() < '0' || text.front() > '9');
  return word ? quote_literal(text) : sql;
}

/// Writes the triggers of one table.
class Writer {
 public:
  Writer(const TableMap& map, const SqliteTable& table)
      : table_(table), quoted_table_(quote_identifier(table.name)), row_(quoted_table_) {
    for (const char* reserved : {"new", "old"}) {
      if (sqlite3_stricmp(table.name.c_str(), reserved) == 0) row_ = "t";
    }
    for (std::uint16_t i = 0; i < map.key_width; ++i) key_.push_back(find(map.columns[i].old_name));
    Names log_columns{"tbl"};
    for (std::size_t i = 1; i <= key_.size(); ++i) log_columns.push_back(fmt::format("k{}", i));
    into_log_ = fmt::format("INSERT INTO {}({})", kLogTable, join(log_columns, ", "));
    table_number_ = fmt::to_string(index(map.id));
  }

  std::vector<CaptureTrigger> write() const {
    std::vector<CaptureTrigger> out;
    const Names on_insert = displacements(false), on_update = displacements(true);
    if (!on_insert.empty() && !mutated("no-before-trigger")) {
      const Watched watched = displacing_columns();
      out.push_back(trigger("displace_insert", "BEFORE INSERT", on_insert));
      out.push_back(trigger("displace_update", "BEFORE UPDATE", on_update, &watched));
    }
    out.push_back(trigger("insert", "AFTER INSERT", {log_row("NEW")}));
    out.push_back(trigger("update", "AFTER UPDATE", {log_row("NEW")}));
    // Not in one with the trigger above: SQLite compiles each trigger that a statement may fire
    // whenever it prepares the statement, and most leave the key alone.
    const Watched key = key_columns();
    out.push_back(trigger("rename", "AFTER UPDATE", {log_row("OLD")}, &key));
    out.push_back(trigger("delete", "AFTER DELETE", {log_row("OLD")}));
    return out;
  }

 private:
  std::size_t find(const std::string& name) const {
    const auto at = std::find_if(
        table_.columns.begin(), table_.columns.end(),
        [&](const SqliteColumn& c) { return sqlite3_stricmp(c.name.c_str(), name.c_str()) == 0; });
    if (at == table_.columns.end()) {
      throw Error(ErrorKind::kData, Retry::kNever, "no such column: " + name,
                  {.object = table_.name});
    }
    return static_cast<std::size_t>(at - table_.columns.begin());
  }
  std::string column(std::size_t at) const { return quote_identifier(table_.columns[at].name); }

  /// The columns whose change an UPDATE trigger is there for.
  struct Watched {
    Names names;    // as a statement may call them; empty: cannot be told by name
    Names changes;  // "OLD.c IS NOT NEW.c"; empty: cannot be told without looking
  };

  CaptureTrigger trigger(std::string_view what, std::string_view when, const Names& body,
                         const Watched* watched = nullptr) const {
    std::string of, condition;
    if (watched != nullptr && !watched->names.empty()) of = " OF " + join(watched->names, ", ");
    if (watched != nullptr && !watched->changes.empty()) {
      condition = " WHEN " + join(watched->changes, " OR ");
    }
    CaptureTrigger out;
    out.name = fmt::format("{}{}_{}", kTriggerPrefix, what, table_.name);
    out.table = table_.name;
    // One blank between the words: SQLite keeps what follows TRIGGER as it was written.
    out.create =
        fmt::format("CREATE TRIGGER {} {}{} ON {}{} BEGIN {}; END", quote_identifier(out.name),
                    when, of, quoted_table_, condition, join(body, "; "));
    return out;
  }

  /// "number, row.k1, …": the log's entry for a row.
  std::string entry(std::string_view row) const {
    std::string out = table_number_;
    for (const std::size_t at : key_) out += fmt::format(", {}.{}", row, column(at));
    return out;
  }
  /// VALUES, which costs SQLite less than the same as a SELECT.
  std::string log_row(std::string_view row) const {
    return fmt::format("{} VALUES ({})", into_log_, entry(row));
  }

  /// COLLATE BINARY: a column's own collation may hide that 'a' became 'A'.
  std::string changed(const std::string& quoted) const {
    const char* exactly = mutated("collation-ignored") ? "" : " COLLATE BINARY";
    return fmt::format("OLD.{0}{1} IS NOT NEW.{0}", quoted, exactly);
  }

  /// Where a column takes values of any type, 1 may become 1.0: equal, and yet another key.
  Watched key_columns() const {
    Watched out;
    bool by_name = true;
    for (const std::size_t at : key_) {
      const std::string name = column(at);
      out.names.push_back(name);
      out.changes.push_back(changed(name));
      if (keeps_types(table_.columns[at])) {
        out.changes.push_back(fmt::format("typeof(OLD.{0}) <> typeof(NEW.{0})", name));
      }
      by_name = by_name && table_.columns[at].hidden == 0;
    }
    if (table_.rowid_alias) append_rowid_names(out.names);
    if (!by_name) out.names.clear();
    return out;
  }

  void append_rowid_names(Names& names) const {
    for (std::string& name : rowid_names(table_)) names.push_back(std::move(name));
  }

  /// What NEW will hold once a default has taken the place of NULL, as OR REPLACE does for columns
  /// that are NOT NULL.
  std::string new_value(std::size_t at) const {
    const SqliteColumn& c = table_.columns[at];
    const std::string value = "NEW." + column(at);
    if (!c.not_null || c.default_sql.empty()) return value;
    return fmt::format("coalesce({}, ({}))", value, default_expression(c.default_sql));
  }

  /// The new row's values under the table's own names, so that an index's expressions can be
  /// evaluated for it as they are written.
  std::string new_row() const {
    Names values;
    for (std::size_t i = 0; i < table_.columns.size(); ++i) {
      values.push_back(fmt::format("{} AS {}", new_value(i), column(i)));
    }
    return fmt::format("(SELECT {}) AS {}", join(values, ", "), row_);
  }

  /// True if 1 and 1.0 are two values there: no affinity makes them one.
  static bool keeps_types(const SqliteColumn& c) {
    return affinity_of(c.declared_type, true) == Affinity::kNone;
  }

  /// A unique index that is the mapped key itself, compared as the log compares it: the row that
  /// REPLACE deletes has the very key that the AFTER trigger notes.
  bool is_key(const SqliteUniqueIndex& unique) const {
    if (!unique.where.empty() || unique.terms.size() != key_.size()) return false;
    return std::all_of(unique.terms.begin(), unique.terms.end(), [&](const SqliteUniqueTerm& term) {
      if (term.column < 0 || term.collation != "BINARY") return false;
      const auto at = static_cast<std::size_t>(term.column);
      return std::find(key_.begin(), key_.end(), at) != key_.end() &&
             !keeps_types(table_.columns[at]);
    });
  }

  std::string shares(const SqliteUniqueIndex& unique) const {
    Names conditions;
    for (const SqliteUniqueTerm& term : unique.terms) {
      const bool plain = term.column >= 0;
      const std::string value =
          plain ? new_value(static_cast<std::size_t>(term.column))
                : fmt::format("(SELECT {} FROM {})", term.expression, new_row());
      const std::string own = plain ? row_ + "." + term.expression : "(" + term.expression + ")";
      conditions.push_back(
          fmt::format("{} COLLATE {} = {}", own, quote_identifier(term.collation), value));
    }
    if (!unique.where.empty()) {
      conditions.push_back(fmt::format("({})", unique.where));
      conditions.push_back(fmt::format("(SELECT ({}) FROM {})", unique.where, new_row()));
    }
    return join(conditions, " AND ");
  }

  /// One statement for each way in which a write can displace rows.
  Names displacements(bool update) const {
    Names conditions;
    for (const SqliteUniqueIndex& unique : table_.unique_indexes) {
      if (!is_key(unique)) conditions.push_back(shares(unique));
    }
    const Names ids = rowid_names(table_);
    // A rowid that is nobody's key is unique all the same. An INSERT that names none has -1 here.
    if (!ids.empty() && !table_.rowid_alias) {
      conditions.push_back(fmt::format("{0}.{1} = NEW.{1}", row_, ids.front()));
    }
    Names statements;
    for (const std::string& condition : conditions) {
      std::string statement = fmt::format("{} SELECT {} FROM {}{} WHERE {}", into_log_, entry(row_),
                                          quoted_table_, row_ == "t" ? " AS t" : "", condition);
      if (update && !ids.empty()) {
        statement += fmt::format(" AND {0}.{1} <> OLD.{1}", row_, ids.front());
      }
      statements.push_back(std::move(statement));
    }
    return statements;
  }

  /// A row that keeps what it holds of every unique index displaces nobody.
  Watched displacing_columns() const {
    Watched out;
    for (const SqliteUniqueIndex& unique : table_.unique_indexes) {
      if (is_key(unique)) continue;
      if (!unique.where.empty()) return {};
      for (const SqliteUniqueTerm& term : unique.terms) {
        const bool plain = term.column >= 0;
        if (!plain || table_.columns[static_cast<std::size_t>(term.column)].hidden != 0) return {};
        out.names.push_back(term.expression);
        out.changes.push_back(changed(term.expression));
      }
    }
    const Names ids = rowid_names(table_);
    if (!ids.empty() && !table_.rowid_alias) out.changes.push_back(changed(ids.front()));
    append_rowid_names(out.names);
    for (Names* list : {&out.names, &out.changes}) {
      std::sort(list->begin(), list->end());
      list->erase(std::unique(list->begin(), list->end()), list->end());
    }
    return out;
  }

  const SqliteTable& table_;
  std::string quoted_table_;
  std::string row_;           // what the table's rows are called in FROM
  std::string into_log_;      // INSERT INTO log(columns)
  std::string table_number_;  // of the mapping
  std::vector<std::size_t> key_;
};

}  // namespace

std::string create_log_sql(std::uint16_t key_width) {
  std::string sql = fmt::format(
      "CREATE TABLE {} (seq INTEGER PRIMARY KEY, nonce INTEGER DEFAULT (random()), tbl", kLogTable);
  for (int i = 1; i <= key_width; ++i) sql += fmt::format(", k{}", i);
  return sql + ")";
}

std::vector<CaptureTrigger> capture_triggers(const TableMap& map, const SqliteTable& table) {
  return Writer(map, table).write();
}

}  // namespace switchback
