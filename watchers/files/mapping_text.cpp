#include "watchers/files/mapping_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "state/base/error.h"
#include "watchers/files/lens_plan.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

using Sort = ValueSource::Sort;

[[noreturn]] void refuse(const std::string& what, const std::string& next = {}) {
  throw Error(ErrorKind::kUsage, Retry::kNever, what, {.next = next});
}

constexpr std::array<std::pair<std::string_view, Sort>, 10> kWords = {{
    {"$key", Sort::kKey},
    {"$path", Sort::kPath},
    {"$size", Sort::kSize},
    {"$mtime", Sort::kMtime},
    {"$sha256", Sort::kSha256},
    {"$bytes", Sort::kBytes},
    {"$rest", Sort::kRest},
    {"$uuid", Sort::kUuid},
    {"$serial", Sort::kSerial},
    {"$hash", Sort::kHash},
}};

bool of_the_file(Sort sort) {
  return sort == Sort::kPath || sort == Sort::kSize || sort == Sort::kMtime ||
         sort == Sort::kSha256 || sort == Sort::kBytes;
}

std::uint16_t find_or_add(Collection& collection, std::uint16_t parent, const MemberPath& path,
                          bool each) {
  auto& levels = collection.levels;
  for (std::uint16_t i = 1; i < levels.size(); ++i) {
    if (levels[i].parent == parent && levels[i].path == path && levels[i].each == each) return i;
  }
  levels.push_back({parent, path, each});
  return static_cast<std::uint16_t>(levels.size() - 1);
}

std::uint16_t depth(const Collection& collection, std::uint16_t level) {
  std::uint16_t out = 0;
  for (; level != 0; level = collection.levels[level].parent) ++out;
  return out;
}

class Linker {
 public:
  Linker(const Mapping& mapping, Collection& collection)
      : mapping_(mapping), collection_(collection) {}

  void run() {
    std::stable_sort(collection_.tables.begin(), collection_.tables.end(),
                     [&](const TableSource& a, const TableSource& b) {
                       const auto x = depth(collection_, a.level), y = depth(collection_, b.level);
                       return x != y ? x < y : map(a).rank < map(b).rank;
                     });
    for (TableSource& table : collection_.tables) {
      for (std::size_t c = 0; c < table.columns.size(); ++c) column(table, c);
      for (RowCondition& condition : table.where) check(table, condition.source, "where");
    }
    for (const TableSource& table : collection_.tables) need_enclosing(table);
  }

 private:
  const TableMap& map(const TableSource& table) const { return mapping_.table(table.table); }

  bool in_list(const TableSource& table) const {
    if (table.level != 0) return collection_.levels[table.level].each;
    return collection_.records.form == RecordsLayout::Form::kEach ||
           collection_.records.form == RecordsLayout::Form::kLines;
  }

  void column(TableSource& table, std::size_t c) {
    ColumnSource& column = table.columns[c];
    const std::string& name = map(table).columns[c].name;
    for (ValueSource& source : column.from) {
      check(table, source, name);
      if (source.up != 0) source.same_as = enclosing_value(table, source);
      const bool place = source.sort == Sort::kKey && source.up == 0 && in_list(table);
      const PgType type = map(table).columns[c].type;
      const bool integer = type == PgType::kInt2 || type == PgType::kInt4 || type == PgType::kInt8;
      if (place && integer && table.order.empty()) {
        table.order.push_back(static_cast<std::uint16_t>(c));
      }
    }
    if (column.otherwise) check(table, *column.otherwise, name);
  }

  void check(const TableSource& table, const ValueSource& source, const std::string& where) const {
    const std::string at =
        fmt::format("{}.{}: {} = \"{}\"", map(table).schema, map(table).table, where, source.text);
    if (source.up > depth(collection_, table.level)) {
      refuse(fmt::format("{}: nothing encloses it that far out", at), "take a ^ away");
    }
    const bool opaque = collection_.records.form == RecordsLayout::Form::kOpaque;
    if (opaque && !of_the_file(source.sort) && source.sort != Sort::kConstant) {
      const bool path_member = source.sort == Sort::kMember && !source.path.empty();
      if (!path_member) {
        refuse(fmt::format("{}: an opaque file has no members", at),
               "use $path, $size, $mtime, $sha256, $bytes, or a member named in the file pattern");
      }
    }
    if (!opaque && of_the_file(source.sort) && source.sort != Sort::kPath &&
        source.sort != Sort::kMtime && source.sort != Sort::kSize) {
      refuse(fmt::format("{}: only files taken as a whole have it", at),
             "say records = \"file\" in the collection");
    }
    const bool single = depth(collection_, table.level) >= source.up && no_key(table, source.up);
    if (source.sort == Sort::kKey && single) {
      refuse(fmt::format("{}: it is no element of an array or a map", at), "take another source");
    }
  }

  bool no_key(const TableSource& table, std::uint16_t up) const {
    std::uint16_t level = table.level;
    while (up-- != 0) level = collection_.levels[level].parent;
    if (level != 0) return !collection_.levels[level].each;
    return collection_.records.form == RecordsLayout::Form::kWhole ||
           collection_.records.form == RecordsLayout::Form::kOpaque;
  }

  std::optional<ValueSource::RowValue> enclosing_value(const TableSource& table,
                                                       const ValueSource& source) const {
    std::uint16_t level = table.level;
    for (std::uint16_t up = source.up; up != 0; --up) level = collection_.levels[level].parent;
    for (std::uint16_t t = 0; t < collection_.tables.size(); ++t) {
      if (collection_.tables[t].level != level) continue;
      const auto& columns = collection_.tables[t].columns;
      for (std::uint16_t c = 0; c < columns.size(); ++c) {
        for (const ValueSource& theirs : columns[c].from) {
          if (LensPlan::same_source(theirs, source, source.up)) return {{t, c}};
        }
      }
    }
    return std::nullopt;
  }

  /// A row born in PostgreSQL must say whose part it is.
  void need_enclosing(const TableSource& table) const {
    if (table.level == 0) return;
    const bool says =
        std::any_of(table.columns.begin(), table.columns.end(), [](const ColumnSource& column) {
          return std::any_of(column.from.begin(), column.from.end(),
                             [](const ValueSource& source) { return source.up != 0; });
        });
    if (says) return;
    refuse(fmt::format("{}.{}: no column says which row encloses a row", map(table).schema,
                       map(table).table),
           "give it a column with the enclosing row's key: parent_id = \"^/id\"");
  }

  const Mapping& mapping_;
  Collection& collection_;
};

}  // namespace

ValueSource parse_source(std::string_view text) {
  ValueSource source;
  source.text = text;
  if (text.starts_with('=')) {
    source.sort = Sort::kConstant;
    source.constant = text.substr(1);
    return source;
  }
  std::string_view rest = text;
  while (rest.starts_with('^')) {
    ++source.up;
    rest.remove_prefix(1);
  }
  if (rest.starts_with('$')) {
    for (const auto& [word, sort] : kWords) {
      if (rest != word) continue;
      source.sort = sort;
      if (source.up != 0 && (of_the_file(sort) || sort == Sort::kRest)) {
        refuse(fmt::format("\"{}\" is not of an enclosing element", text),
               fmt::format("say \"{}\"", rest));
      }
      return source;
    }
    refuse(
        fmt::format("\"{}\" is no source", text),
        "known are $key, $path, $size, $mtime, $sha256, $bytes, $rest, $uuid, $serial and $hash");
  }
  const auto path = parse_pointer(rest);
  if (!path) {
    refuse(
        fmt::format("expected a pointer such as \"/name\", \"^/id\", a word with $ or "
                    "\"=constant\", found \"{}\"",
                    text));
  }
  source.path = *path;
  return source;
}

RecordsLayout parse_records(std::string_view text) {
  RecordsLayout layout;
  if (text.empty()) {
    layout.form = RecordsLayout::Form::kWhole;
  } else if (text == "lines") {
    layout.form = RecordsLayout::Form::kLines;
  } else if (text == "file") {
    layout.form = RecordsLayout::Form::kOpaque;
  } else {
    const auto path =
        text.ends_with("/*") ? parse_pointer(text.substr(0, text.size() - 2)) : std::nullopt;
    if (!path || std::find(path->begin(), path->end(), "*") != path->end()) {
      refuse(fmt::format(
          "expected \"/*\", \"\", \"/member/*\", \"lines\" or \"file\", found \"{}\"", text));
    }
    layout.path = *path;
  }
  return layout;
}

std::vector<std::uint16_t> make_levels(Collection& collection,
                                       const std::vector<std::string>& paths) {
  collection.levels.assign(1, {});
  std::vector<MemberPath> all;
  for (const std::string& text : paths) {
    const auto steps = parse_pointer(text);
    if (!steps) {
      refuse(fmt::format("expected a path such as \"/object\" or \"/list/*\", found \"{}\"", text));
    }
    all.push_back(*steps);
  }
  std::vector<std::uint16_t> out;
  for (const MemberPath& steps : all) {
    std::uint16_t level = 0;
    MemberPath pending, so_far;
    for (const std::string& step : steps) {
      so_far.push_back(step);
      const bool each = step == "*";
      if (!each) pending.push_back(step);
      if (!each && std::find(all.begin(), all.end(), so_far) == all.end()) continue;
      level = find_or_add(collection, level, pending, each);
      pending.clear();
    }
    out.push_back(level);
  }
  return out;
}

void link_collection(const Mapping& mapping, Collection& collection) {
  if (collection.levels.empty()) collection.levels.push_back({});
  Linker(mapping, collection).run();
}

}  // namespace switchback
