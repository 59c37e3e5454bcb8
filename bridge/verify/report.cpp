#include "bridge/verify/report.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <set>

#include "state/base/error.h"
#include "state/base/json_text.h"

namespace switchback {
namespace {

using Element = simdjson::dom::element;

constexpr std::array<std::pair<DifferenceSort, std::string_view>, 4> kSorts{{
    {DifferenceSort::kValue, "value"},
    {DifferenceSort::kMissingInPostgres, "missing in postgres"},
    {DifferenceSort::kMissingInOld, "missing in old"},
    {DifferenceSort::kMisfit, "does not fit"},
}};

constexpr std::array<std::pair<Known, std::string_view>, 3> kKnown{{
    {Known::kNot, "no"},
    {Known::kQuarantined, "quarantined"},
    {Known::kAccepted, "accepted"},
}};

template <typename Word, std::size_t count>
std::string_view word_of(const std::array<std::pair<Word, std::string_view>, count>& words,
                         Word word) {
  return std::find_if(words.begin(), words.end(),
                      [&](const auto& one) { return one.first == word; })
      ->second;
}

[[noreturn]] void fail(std::string_view key) {
  throw Error(ErrorKind::kInternal, Retry::kNever,
              "the report cannot be read at \"" + std::string(key) + "\"",
              {.next = "use the version of the sidecar that runs"});
}

template <typename Word, std::size_t count>
Word parse_word(const std::array<std::pair<Word, std::string_view>, count>& words,
                std::string_view text) {
  const auto at =
      std::find_if(words.begin(), words.end(), [&](const auto& one) { return one.second == text; });
  if (at == words.end()) fail(text);
  return at->first;
}

bool is_whole_row(const Difference& difference) {
  return difference.sort != DifferenceSort::kValue;
}

void write_value(JsonWriter& json, std::string_view name, const std::string& value, bool there) {
  json.key(name);
  if (there) {
    json.value(value);
  } else {
    json.null();
  }
}

void write_difference(JsonWriter& json, const Difference& difference) {
  json.begin_object()
      .member("what", word_of(kSorts, difference.sort))
      .key("key")
      .raw(difference.key);
  write_value(json, "column", difference.column, !difference.column.empty());
  const bool in_old = difference.sort != DifferenceSort::kMissingInOld;
  const bool in_postgres = difference.sort != DifferenceSort::kMissingInPostgres;
  write_value(json, "old", difference.old_value, in_old);
  write_value(json, "postgres", difference.postgres_value, in_postgres);
  json.member("cause", difference.cause)
      .member("known", word_of(kKnown, difference.known))
      .member("repaired", difference.repaired)
      .end_object();
}

void write_table(JsonWriter& json, const TableReport& table) {
  json.begin_object()
      .member("name", table.name)
      .member("rows_old", table.rows_old)
      .member("rows_postgres", table.rows_postgres)
      .key("differences")
      .begin_array();
  for (const auto& difference : table.differences) write_difference(json, difference);
  json.end_array()
      .member("more", table.more)
      .member("unsettled", table.unsettled)
      .key("not_compared")
      .begin_array();
  for (const auto& column : table.one_sided) json.value(column);
  json.end_array();
  write_value(json, "problem", table.problem, !table.problem.empty());
  json.end_object();
}

template <typename Value>
Value get(const Element& object, std::string_view key) {
  Value out;
  if (object[key].get(out)) fail(key);
  return out;
}

std::string text_or_empty(const Element& object, std::string_view key) {
  std::string_view out;
  Element value = get<Element>(object, key);
  if (value.is_null()) return {};
  if (value.get(out)) fail(key);
  return std::string(out);
}

Difference parse_difference(const Element& object) {
  Difference out;
  out.sort = parse_word(kSorts, get<std::string_view>(object, "what"));
  out.key = simdjson::minify(get<Element>(object, "key"));
  out.column = text_or_empty(object, "column");
  out.old_value = text_or_empty(object, "old");
  out.postgres_value = text_or_empty(object, "postgres");
  out.cause = text_or_empty(object, "cause");
  out.known = parse_word(kKnown, get<std::string_view>(object, "known"));
  out.repaired = get<bool>(object, "repaired");
  return out;
}

TableReport parse_table(const Element& object) {
  TableReport out;
  out.name = text_or_empty(object, "name");
  out.rows_old = get<std::uint64_t>(object, "rows_old");
  out.rows_postgres = get<std::uint64_t>(object, "rows_postgres");
  for (const Element one : get<simdjson::dom::array>(object, "differences")) {
    out.differences.push_back(parse_difference(one));
  }
  out.more = get<std::uint64_t>(object, "more");
  out.unsettled = get<std::uint64_t>(object, "unsettled");
  for (const Element one : get<simdjson::dom::array>(object, "not_compared")) {
    out.one_sided.emplace_back(one.get_string().value());
  }
  out.problem = text_or_empty(object, "problem");
  return out;
}

std::string in_one_line(const TableReport& table, const Difference& difference) {
  std::string out = fmt::format("{} {}", table.name, difference.key);
  if (is_whole_row(difference)) {
    return out + fmt::format(": {}", word_of(kSorts, difference.sort));
  }
  return out + fmt::format(" {}: old {}, postgres {}", difference.column, difference.old_value,
                           difference.postgres_value);
}

std::string difference_words(const TableReport& table, const Difference& difference) {
  std::string out = in_one_line(table, difference) + "\n    ";
  if (difference.repaired) out += "repaired; it was: ";
  return out + difference.cause + "\n";
}

std::uint64_t rows_of(const TableReport& table) {
  std::set<std::string_view> keys;
  for (const auto& difference : table.differences) keys.insert(difference.key);
  return keys.size() + table.more;
}

std::string last_line(const VerifyReport& report) {
  std::uint64_t rows = 0, repaired = 0, unsettled = 0, accepted = 0;
  for (const auto& table : report.tables) {
    rows += table.rows_old;
    unsettled += table.unsettled;
    for (const auto& one : table.differences) {
      repaired += one.repaired;
      accepted += one.known == Known::kAccepted;
    }
  }
  std::string out = report.identical()
                        ? fmt::format("identical: {} rows in {} tables", rows, report.tables.size())
                        : fmt::format("NOT identical: {} rows differ", report.rows_differing());
  if (repaired != 0) out += fmt::format(", {} differences repaired", repaired);
  if (accepted != 0) out += fmt::format(", {} accepted as they are", accepted);
  if (unsettled != 0) {
    out += fmt::format(", {} changed each time they were looked at and are not told", unsettled);
  }
  return out + fmt::format(" ({:.1f} s)\n", static_cast<double>(report.took.count()) / 1000);
}

}  // namespace

bool TableReport::identical() const {
  return problem.empty() && more == 0 && unsettled == 0 &&
         std::all_of(differences.begin(), differences.end(), [](const Difference& one) {
           return one.repaired || one.known == Known::kAccepted;
         });
}

bool TableReport::explained() const {
  return problem.empty() && more == 0 && unsettled == 0 &&
         std::all_of(differences.begin(), differences.end(), [](const Difference& one) {
           return one.repaired || one.known != Known::kNot;
         });
}

bool VerifyReport::repaired() const {
  return std::any_of(tables.begin(), tables.end(), [](const TableReport& table) {
    return std::any_of(table.differences.begin(), table.differences.end(),
                       [](const Difference& one) { return one.repaired; });
  });
}

bool VerifyReport::identical() const {
  return std::all_of(tables.begin(), tables.end(),
                     [](const TableReport& table) { return table.identical(); });
}

bool VerifyReport::explained() const {
  return std::all_of(tables.begin(), tables.end(),
                     [](const TableReport& table) { return table.explained(); });
}

std::uint64_t VerifyReport::rows_differing() const {
  std::uint64_t count = 0;
  for (const auto& table : tables) count += rows_of(table);
  return count;
}

std::string VerifyReport::example() const {
  for (const auto& table : tables) {
    for (const auto& one : table.differences) {
      if (!one.repaired && one.known != Known::kAccepted) return in_one_line(table, one);
    }
    if (!table.problem.empty()) return fmt::format("{}: {}", table.name, table.problem);
    if (table.unsettled != 0) {
      return fmt::format("{}: {} rows changed each time they were looked at", table.name,
                         table.unsettled);
    }
  }
  return {};
}

std::string to_json(const VerifyReport& report) {
  JsonWriter json;
  json.begin_object()
      .member("identical", report.identical())
      .member("started", report.started)
      .member("finished", report.finished)
      .member("primary", to_string(report.primary))
      .member("took_ms", report.took.count())
      .key("tables")
      .begin_array();
  for (const auto& table : report.tables) write_table(json, table);
  json.end_array();
  write_value(json, "kept", report.kept, !report.kept.empty());
  json.end_object();
  return json.take();
}

VerifyReport parse_verify_report(std::string_view json) {
  simdjson::dom::parser parser;
  Element root;
  if (parser.parse(json.data(), json.size()).get(root)) fail("");
  VerifyReport report;
  report.started = text_or_empty(root, "started");
  report.finished = text_or_empty(root, "finished");
  const auto primary = parse_side(get<std::string_view>(root, "primary"));
  if (!primary) fail("primary");
  report.primary = *primary;
  report.took = std::chrono::milliseconds(get<std::int64_t>(root, "took_ms"));
  for (const Element one : get<simdjson::dom::array>(root, "tables")) {
    report.tables.push_back(parse_table(one));
  }
  report.kept = text_or_empty(root, "kept");
  return report;
}

std::string to_text(const VerifyReport& report) {
  std::string out;
  for (const auto& table : report.tables) {
    for (const auto& difference : table.differences) out += difference_words(table, difference);
    if (table.more != 0) out += fmt::format("{}: {} more rows differ\n", table.name, table.more);
    if (!table.problem.empty()) {
      out += fmt::format("{}: could not be compared: {}\n", table.name, table.problem);
    }
    if (!table.one_sided.empty()) {
      out += fmt::format("{}: not compared, on one side only: {}\n", table.name,
                         fmt::join(table.one_sided, ", "));
    }
  }
  if (!report.kept.empty()) {
    out += fmt::format("what {} had of the rows repaired is kept in {}\n",
                       to_string(other(report.primary)), report.kept);
  }
  return out + last_line(report);
}

}  // namespace switchback
