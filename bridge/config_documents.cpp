#include "bridge/config_documents.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "watchers/files/document.h"
#include "watchers/files/mapping_text.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

/// What the small languages refuse is refused at its line.
template <class Call>
auto at_key(const ConfigReader& reader, std::string_view key, Call&& call) {
  try {
    return call();
  } catch (const Error& error) {
    reader.fail(key, error.message(), error.detail().next);
  }
}

std::string sibling_pattern(const ConfigReader& reader, std::string_view key) {
  const auto text = reader.string(key);
  if (!text) return {};
  const std::size_t at = text->find("{path}");
  const bool once = at != text->npos && text->find("{path}", at + 1) == text->npos;
  if (!once || text->find("..") != text->npos || *text == "{path}") {
    reader.fail(key, fmt::format("expected the file's path with something around it, such as "
                                 "\"{{path}}.lock\"; found \"{}\"",
                                 *text));
  }
  return *text;
}

/// Beside each file, or one for all files of the collection: then a name below its root.
std::string lock_pattern(const ConfigReader& reader) {
  const auto text = reader.string("lock");
  if (!text || text->find("{path}") != text->npos) return sibling_pattern(reader, "lock");
  const std::filesystem::path path(*text);
  const bool below = !text->empty() && path.is_relative() && path.has_filename() &&
                     std::none_of(path.begin(), path.end(),
                                  [](const auto& part) { return part == ".." || part == "."; });
  if (!below) {
    reader.fail("lock", fmt::format("expected a file below the collection's root, such as "
                                    "\".lock\", or \"{{path}}.lock\" for one beside each file; "
                                    "found \"{}\"",
                                    *text));
  }
  return *text;
}

std::string read_template(const ConfigReader& reader, const Config& config) {
  const auto name = reader.string("template");
  if (!name) return {};
  const auto path = (config.file.parent_path() / *name).lexically_normal();
  const std::string text = read_file(path);
  if (text.empty()) reader.fail("template", fmt::format("there is nothing in {}", path.string()));
  at_key(reader, "template", [&] { return Document::parse(text, {.where = *name}); });
  return text;
}

CollectionConfig read_collection(const ConfigReader& reader, const std::string& name,
                                 const Config& config) {
  check_name(reader, "", name);
  reader.allow({"root", "files", "except", "records", "lock", "keep_copy", "template", "ascii"});
  CollectionConfig out;
  out.line = reader.line();
  Collection& collection = out.collection;
  collection.name = name;
  collection.root =
      (config.file.parent_path() / reader.string("root").value_or(".")).lexically_normal();
  const auto files = reader.strings("files");
  if (!files || files->empty()) {
    reader.fail("", "files = \"PATTERN\" is missing", "say which files: files = \"data/*.json\"");
  }
  for (const auto& text : *files) {
    collection.files.push_back(at_key(reader, "files", [&] { return parse_file_pattern(text); }));
  }
  for (const auto& text : reader.strings("except").value_or(std::vector<std::string>())) {
    collection.except.push_back(at_key(reader, "except", [&] { return parse_file_pattern(text); }));
  }
  const auto records = reader.text("records");
  if (records) {
    collection.records = at_key(reader, "records", [&] { return parse_records(*records); });
  }
  collection.lock = lock_pattern(reader);
  collection.keep_copy = sibling_pattern(reader, "keep_copy");
  collection.born = read_template(reader, config);
  collection.ascii = reader.boolean("ascii").value_or(false);
  if (collection.records.form == RecordsLayout::Form::kOpaque && !collection.born.empty()) {
    reader.fail("template", "an opaque file has no members", "take it out");
  }
  return out;
}

std::vector<std::string> condition_values(const ConfigReader& where, const std::string& source) {
  const toml::node* node = where.table().get(source);
  std::vector<std::string> out;
  const auto add = [&](const toml::node& item) {
    if (item.is_string()) {
      out.push_back(item.as_string()->get());
    } else if (item.is_integer()) {
      out.push_back(std::to_string(item.as_integer()->get()));
    } else if (item.is_boolean()) {
      out.push_back(item.as_boolean()->get() ? "true" : "false");
    } else {
      where.fail(source, "expected a text, an integer, true or false, or a list of them");
    }
  };
  if (const toml::array* list = node->as_array()) {
    for (const toml::node& item : *list) add(item);
  } else {
    add(*node);
  }
  if (out.empty()) where.fail(source, "expected at least one value, found []");
  return out;
}

void read_where(const ConfigReader& table, TableConfig& out) {
  const auto where = table.sub("where");
  if (!where) return;
  for (const auto& [key, node] : where->table()) {
    const std::string source(key.str());
    RowCondition condition;
    condition.source = at_key(*where, source, [&] { return parse_source(source); });
    condition.values = condition_values(*where, source);
    out.where.push_back(std::move(condition));
  }
}

// As a pattern, but with every character of the name meaning itself.
FilePattern everything_in(const std::filesystem::path& folder) {
  using Sort = PathPart::Piece::Sort;
  FilePattern pattern{.text = folder.string() + "/**/*", .parts = {}};
  for (const auto& part : folder) {
    pattern.parts.push_back({.pieces = {{.sort = Sort::kText, .text = part.string(), .member = {}}},
                             .any_depth = false});
  }
  pattern.parts.push_back({.pieces = {}, .any_depth = true});
  pattern.parts.push_back(
      {.pieces = {{.sort = Sort::kAny, .text = {}, .member = {}}}, .any_depth = false});
  return pattern;
}

}  // namespace

void read_collections(const ConfigReader& root, Config& config) {
  const auto collections = root.sub("collection");
  if (!collections) return;
  for (const auto& [name, reader] : collections->subs()) {
    config.collections.push_back(read_collection(reader, name, config));
  }
  if (config.collections.empty()) collections->fail("", "expected at least one [collection.NAME]");
}

void except_own_folders(Config& config) {
  const std::filesystem::path private_postgres = config.state_dir.string() + ".pg";
  for (CollectionConfig& from : config.collections) {
    Collection& collection = from.collection;
    for (const auto& own : {config.state_dir, private_postgres, config.run_dir}) {
      const auto below = own.lexically_relative(collection.root);
      if (below == ".") {
        throw Error(ErrorKind::kUsage, Retry::kNever,
                    fmt::format("[collection.{}]: {} is a folder of the bridge's own",
                                collection.name, own.string()),
                    {.object = config.at(from.line),
                     .next = "name another state_dir and run_dir, or another root"});
      }
      if (below.empty() || *below.begin() == "..") continue;
      collection.except.push_back(everything_in(below));
    }
  }
}

const CollectionConfig* collection_of(const Config& config, const std::string& from) {
  const std::string name = from.substr(0, from.find(':'));
  const auto at =
      std::find_if(config.collections.begin(), config.collections.end(),
                   [&](const CollectionConfig& there) { return there.collection.name == name; });
  return at == config.collections.end() ? nullptr : &*at;
}

void read_document_table(const ConfigReader& table, const std::string& from,
                         const CollectionConfig& collection, TableConfig& out) {
  out.collection = collection.collection.name;
  out.store = DocumentMap().store;
  out.old_table = from;
  const std::size_t colon = from.find(':');
  if (colon != from.npos) out.path = from.substr(colon + 1);
  Collection scratch;  // only to hear whether the path can be meant
  at_key(table, "from", [&] { return make_levels(scratch, {out.path}); });
  if (const auto order = table.strings("order")) out.order = *order;
  if (const auto i = table.word("at", {"end", "start"})) out.at_start = *i == 1;
  if (const auto i = table.word("deletes", {"apply", "keep"})) out.keep_deleted = *i == 1;
  read_where(table, out);
}

ColumnConfig read_document_column(const ConfigReader& columns, const std::string& name) {
  ColumnConfig out{.name = name, .from = {}, .spellings = {}, .line = columns.line_of(name)};
  const auto sources = [&](const ConfigReader& reader, std::string_view key) {
    const auto texts = reader.texts(key);
    if (!texts || texts->empty()) reader.fail(key, "expected a source such as \"/name\"");
    for (const auto& text : *texts) {
      out.source.from.push_back(at_key(reader, key, [&] { return parse_source(text); }));
    }
    out.from = texts->front().empty() ? "(itself)" : fmt::format("{}", fmt::join(*texts, " or "));
  };
  if (!columns.table().get(name)->is_table()) {
    sources(columns, name);
    return out;
  }
  const ConfigReader column = *columns.sub(name);
  column.allow({"from", "else", "type", "write", "spelling"}, {"zone"});
  if (!column.has("from")) column.fail("", "from = SOURCE is missing");
  sources(column, "from");
  if (const auto otherwise = column.string("else")) {
    out.source.otherwise = at_key(column, "else", [&] { return parse_source(*otherwise); });
  }
  if (column.word("type", {"json"})) out.source.json_in_text = true;
  if (const auto i = column.word("write", {"null", "absent"})) {
    out.source.gone = *i == 0 ? ColumnSource::Gone::kNull : ColumnSource::Gone::kAbsent;
  }
  out.spellings = read_spellings(column);
  return out;
}

}  // namespace switchback
