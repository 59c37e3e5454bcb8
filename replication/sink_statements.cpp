#include "replication/sink_statements.h"

#include "replication/meta.h"
#include "replication/outlived.h"
#include "state/base/mutation.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

/// Appends `item` for each index, separated by `between`.
template <class Item>
std::string join(const std::vector<std::uint16_t>& indexes, std::string_view between,
                 const Item& item) {
  std::string out;
  for (const std::uint16_t i : indexes) {
    if (!out.empty()) out += between;
    out += item(i);
  }
  return out;
}

/// Writes the parts that all statements share. Arrays are o0, o1 … for the old key's columns and
/// c0, c1 … for the row's, by their index in the mapping.
class Writer {
 public:
  Writer(const Mapping& mapping, const TableMap& table, const Target& target,
         FormStatement& statement)
      : mapping_(mapping), table_(table), target_(target), statement_(statement) {}

  std::string name() const { return quoted_name(table_); }
  std::string column(std::uint16_t i) const { return quote_identifier(table_.columns[i].name); }
  std::string value(std::uint16_t i) const { return "s.c" + std::to_string(i) + target_.casts[i]; }

  std::string columns(const std::vector<std::uint16_t>& indexes) const {
    return join(indexes, ", ", [&](std::uint16_t i) { return column(i); });
  }
  std::string values() const {
    return join(statement_.row, ", ", [&](std::uint16_t i) { return value(i); });
  }
  std::string assignments(bool key_moves) const {
    std::vector<std::uint16_t> indexes;
    for (const std::uint16_t i : statement_.row) {
      if (key_moves || i >= table_.key_width) indexes.push_back(i);
    }
    if (indexes.empty()) indexes = key();  // nothing but the key was sent: only looks for the row
    return join(indexes, ", ", [&](std::uint16_t i) { return column(i) + " = " + value(i); });
  }
  /// "unnest($1, $2) AS s (o0, c0)".
  std::string arrays() const {
    std::string marks, names;
    int number = 0;
    const auto add = [&](char letter, std::uint16_t i) {
      if (number != 0) marks += ", ", names += ", ";
      marks += "$" + std::to_string(++number);
      names += letter + std::to_string(i);
    };
    for (const std::uint16_t i : statement_.old_key) add('o', i);
    for (const std::uint16_t i : statement_.row) add('c', i);
    return "unnest(" + marks + ") AS s (" + names + ")";
  }
  std::string matches(char letter) const {
    return join(key(), " AND ", [&](std::uint16_t i) {
      return "t." + column(i) + " = s." + letter + std::to_string(i) + target_.casts[i];
    });
  }
  std::vector<std::uint16_t> key() const {
    std::vector<std::uint16_t> indexes;
    for (std::uint16_t i = 0; i < table_.key_width; ++i) indexes.push_back(i);
    return indexes;
  }

  /// `where` may be empty.
  std::string upsert(const std::string& where) const {
    std::vector<std::uint16_t> others;
    for (const std::uint16_t i : statement_.row) {
      if (i >= table_.key_width) others.push_back(i);
    }
    // A row that comes back is to be written, or it would still be the version that outlived.
    if (others.empty() && table_.keep_deleted && !target_.identity_always_key) others = key();
    const std::string updates =
        join(others, ", ", [&](std::uint16_t i) { return column(i) + " = EXCLUDED." + column(i); });
    return "INSERT INTO " + name() + " AS t (" + columns(statement_.row) +
           ") OVERRIDING SYSTEM VALUE SELECT " + values() + " FROM " + arrays() +
           (where.empty() ? "" : " WHERE " + where) + " ON CONFLICT (" + columns(key()) + ") DO " +
           (others.empty() ? "NOTHING" : "UPDATE SET " + updates);
  }
  /// Finds the row by its old key ('o') or by the key that it keeps ('c').
  std::string update(char letter) const {
    return "UPDATE " + name() + " AS t SET " + assignments(letter == 'o') + " FROM " + arrays() +
           " WHERE " + matches(letter);
  }
  std::string remove(char letter) const {
    return "DELETE FROM " + name() + " AS t USING " + arrays() + " WHERE " + matches(letter) +
           refuse_cascades();
  }
  std::string keep(char letter) const {
    return note_outlived(mapping_.bridge, table_, ", " + arrays(), " WHERE " + matches(letter));
  }

 private:
  /// Evaluated for each deleted row, before the foreign keys act: " RETURNING CASE …", or empty.
  std::string refuse_cascades() const {
    if (mutated("cascade-left-to-server")) return "";
    std::string cases;
    for (const TableMap& child : mapping_.tables) {
      for (const ForeignKey& key : child.foreign_keys) {
        if (key.parent != table_.id || key.on_delete != 'c' || !child.flows()) continue;
        cases += " WHEN EXISTS (" + followers(child, key) + ") THEN switchback.refuse_cascade(" +
                 quote_literal(quoted_name(child)) + "::regclass)";
      }
    }
    return cases.empty() ? "" : " RETURNING CASE" + cases + " END";
  }
  /// Rows that refer to the row `t` and do not go in the same statement.
  std::string followers(const TableMap& child, const ForeignKey& reference) const {
    std::string sql = "SELECT FROM " + quoted_name(child) + " AS k WHERE ";
    for (std::size_t i = 0; i < reference.columns.size(); ++i) {
      sql += (i == 0 ? "k." : " AND k.") +
             quote_identifier(child.columns[reference.columns[i]].name) + " = t." +
             column(reference.parent_columns[i]);
    }
    if (child.id != table_.id) return sql;
    const auto own = [&](std::uint16_t i) { return "k." + column(i); };
    return sql + " AND (" + join(key(), ", ", own) + ") NOT IN (SELECT " + values() + " FROM " +
           arrays() + ")";
  }

  const Mapping& mapping_;
  const TableMap& table_;
  const Target& target_;
  FormStatement& statement_;
};

/// The columns of the row that the form writes. What the old side has no column for is PostgreSQL's
/// own: a new row gets its default, and a value written here once stays.
std::vector<std::uint16_t> row_columns(const TableMap& table, const Form& form) {
  std::vector<std::uint16_t> indexes;
  for (std::uint16_t i = 0; i < table.columns.size(); ++i) {
    const ColumnMap& column = table.columns[i];
    const bool sent = form.sent.empty() ? form.kind != Form::Kind::kDelete : form.sent[i];
    const bool carried = !column.generated && !column.old_name.empty();
    if (i < table.key_width || (sent && carried)) indexes.push_back(i);
  }
  return indexes;
}

std::string move_sql(const Writer& writer, const Target& target) {
  // What moved is not inserted again. A GENERATED ALWAYS key takes no UPDATE: its row is made anew,
  // at the price of columns that no mapping names.
  if (target.identity_always_key) {
    return "WITH s AS (SELECT * FROM " + writer.arrays() + "), gone AS (DELETE FROM " +
           writer.name() + " AS t USING s WHERE " + writer.matches('o') + ") " + writer.upsert("");
  }
  return "WITH moved AS (" + writer.update('o') + " RETURNING 1) " +
         writer.upsert("NOT EXISTS (SELECT 1 FROM moved)");
}

}  // namespace

Target read_target(Connection& connection, const TableMap& table) {
  const Result result = connection.exec(
      "SELECT a.attname, '::' || format_type(a.atttypid, -1), a.attidentity = 'a'"
      " FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attnum > 0"
      " AND NOT a.attisdropped",
      {quoted_name(table)});
  Target target;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const ColumnMap& column = table.columns[i];
    int row = 0;
    while (row < result.rows() && result.text(row, 0) != column.name) ++row;
    if (row == result.rows()) {
      throw Error(ErrorKind::kData, Retry::kNever, "the column " + column.name + " is gone",
                  {.object = plain_name(table), .sqlstate = {}, .next = {}});
    }
    target.casts.push_back(column.type == PgType::kOtherText ? result.string(row, 1) : "");
    if (i < table.key_width && result.boolean(row, 2)) target.identity_always_key = true;
  }
  return target;
}

FormStatement make_statement(const Mapping& mapping, const TableMap& table, const Target& target,
                             const Form& form) {
  FormStatement statement;
  const Writer writer(mapping, table, target, statement);
  if (form.kind != Form::Kind::kClear) statement.row = row_columns(table, form);
  const bool moves = form.kind == Form::Kind::kMove || form.kind == Form::Kind::kMoveUpdate;
  if (moves) statement.old_key = writer.key();
  switch (form.kind) {
    case Form::Kind::kUpsert:
      statement.sql = writer.upsert("");
      break;
    case Form::Kind::kUpdate:
      statement.sql = writer.update('c');
      statement.must_match = true;
      break;
    case Form::Kind::kMove:
      statement.sql = move_sql(writer, target);
      break;
    case Form::Kind::kMoveUpdate:
      statement.sql = writer.update('o');
      statement.must_match = true;
      break;
    case Form::Kind::kDelete:
      statement.sql = table.keep_deleted ? writer.keep('c') : writer.remove('c');
      break;
    // Not TRUNCATE, which refuses a table that others refer to.
    case Form::Kind::kClear:
      statement.sql = table.keep_deleted ? note_outlived(mapping.bridge, table, "", "")
                                         : "DELETE FROM " + writer.name();
      break;
  }
  return statement;
}

}  // namespace switchback
