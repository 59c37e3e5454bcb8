#include "bridge/config.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "bridge/config_documents.h"
#include "bridge/config_reader.h"
#include "bridge/conninfo.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr auto kLongestPause = std::chrono::seconds(60);

std::filesystem::path resolve(const Config& config, const std::filesystem::path& path) {
  return (config.file.parent_path() / path).lexically_normal();
}

void read_admin(const ConfigReader& root, Config& config) {
  const auto admin = root.sub("admin");
  if (!admin) return;
  admin->allow({"listen"});
  const auto listen = admin->string("listen");
  if (!listen) return;
  config.admin_said = true;
  if (*listen == "off") {
    config.admin_host.clear();
    return;
  }
  const auto colon = listen->rfind(':');
  int port = -1;
  if (colon != listen->npos && colon > 0) {
    const char* const end = listen->data() + listen->size();
    const auto result = std::from_chars(listen->data() + colon + 1, end, port);
    if (result.ec != std::errc() || result.ptr != end) port = -1;
  }
  if (port < 0 || port > 65535) {
    admin->fail("listen",
                fmt::format("expected \"ADDRESS:PORT\" or \"off\", found \"{}\"", *listen));
  }
  config.admin_host = listen->substr(0, colon);
  if (config.admin_host.front() == '[' && config.admin_host.back() == ']') {
    config.admin_host = config.admin_host.substr(1, config.admin_host.size() - 2);
  }
  config.admin_port = port;
}

bool libpq_knows(const Environment& environment) {
  for (const char* name : {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"}) {
    const char* value = environment(name);
    if (value != nullptr && *value != '\0') return true;
  }
  return false;
}

/// A password in the file is accepted only if nobody else can read it.
void check_secret(const ConfigReader& postgres, const Config& config) {
  if (!has_password(config.conninfo)) return;
  struct stat info {};
  if (::stat(config.file.c_str(), &info) != 0 || (info.st_mode & 077) == 0) return;
  postgres.fail("url", "holds a password, and others can read this file",
                fmt::format("chmod 600 '{}', or keep the password in the environment or a libpq "
                            "service file",
                            config.file.string()));
}

/// libpq takes what is no URL of its own for the name of a database on this host.
void check_scheme(std::string_view conninfo) {
  const auto scheme = conninfo.substr(0, conninfo.find("://"));
  if (scheme.size() == conninfo.size() || scheme == "postgresql" || scheme == "postgres") return;
  if (scheme.find('=') != scheme.npos) return;
  throw Error(ErrorKind::kUsage, Retry::kNever,
              fmt::format("it begins with {}://, which is no URL of PostgreSQL", scheme),
              {.object = "DATABASE_URL",
               .next = "set DATABASE_URL=postgresql://USER@HOST/DATABASE, or [postgres] url"});
}

void read_postgres(const ConfigReader& root, const Environment& environment, Config& config) {
  const auto postgres = root.sub("postgres");
  std::optional<std::string> url;
  bool is_private = false;
  if (postgres) {
    postgres->allow({"url", "schema", "private"});
    url = postgres->string("url");
    is_private = postgres->boolean("private").value_or(false);
    if (const auto schema = postgres->string("schema")) config.schema = resolve(config, *schema);
    if (is_private && url) {
      postgres->fail("private", "either private = true or a url, not both", "take one of them out");
    }
  }
  const char* database_url = environment("DATABASE_URL");
  if (is_private) {
    config.postgres_from = PostgresFrom::kPrivate;
  } else if (url) {
    config.postgres_from = PostgresFrom::kConfig;
    config.conninfo = *url;
    check_secret(*postgres, config);
  } else if (database_url != nullptr && *database_url != '\0') {
    config.postgres_from = PostgresFrom::kDatabaseUrl;
    config.conninfo = database_url;
    check_scheme(config.conninfo);
  } else if (libpq_knows(environment)) {
    config.postgres_from = PostgresFrom::kLibpq;
  }
}

void read_stores(const ConfigReader& root, Config& config) {
  const auto stores = root.sub("store");
  if (!stores && !config.collections.empty()) return;
  if (!stores) {
    root.fail("", "no [store.NAME] and no [collection.NAME] says what to move",
              "add [store.app] with sqlite = \"PATH\" and tables = \"*\"");
  }
  for (const auto& [name, store] : stores->subs()) {
    check_name(store, "", name);
    store.allow({"sqlite", "tables"});
    const auto path = store.string("sqlite");
    if (!path) store.fail("", "sqlite = \"PATH\" is missing", "say where the database file is");
    StoreConfig out{
        .name = name, .sqlite = resolve(config, *path), .tables = {}, .line = store.line()};
    if (const auto tables = store.strings("tables")) {
      out.all_tables = tables->size() == 1 && tables->front() == "*";
      if (!out.all_tables) out.tables = *tables;
      if (tables->empty())
        store.fail("tables", "expected \"*\" or a list of table names, found []");
      if (!out.all_tables && std::find(tables->begin(), tables->end(), "*") != tables->end()) {
        store.fail("tables", "\"*\" stands alone or not at all");
      }
    }
    config.stores.push_back(std::move(out));
  }
  if (config.stores.empty()) stores->fail("", "expected at least one [store.NAME]");
}

Spelling parse_spelling(const ConfigReader& column, const std::string& word) {
  static const std::vector<std::pair<std::string, Spelling>> kWords = {
      {"sqlite", Spelling::kSqlite}, {"iso-ms-z", Spelling::kIsoMsZ},
      {"iso", Spelling::kIso},       {"twitter", Spelling::kTwitter},
      {"unix", Spelling::kUnix},     {"unix-ms", Spelling::kUnixMs}};
  std::vector<std::string> known;
  for (const auto& [name, spelling] : kWords) {
    if (name == word) return spelling;
    known.push_back(name);
  }
  const std::string near = nearest_word(word, known);
  column.fail("spelling", fmt::format("expected {}; found \"{}\"", fmt::join(known, ", "), word),
              near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
}

void check_source(const ConfigReader& reader, std::string_view key, const std::string& source) {
  static constexpr std::string_view kFileMarks = "/^$=";
  if (kFileMarks.find(source.front()) == kFileMarks.npos) return;
  reader.fail(key, fmt::format("expected the name of a SQLite column, found \"{}\"", source),
              "sources with /, ^, $ and = are for tables that take from a [collection.NAME]");
}

void refuse_outside_collections(const ConfigReader& reader, const char* key) {
  if (!reader.has(key)) return;
  reader.fail(key, "only a table that takes from a [collection.NAME] has it", "take it out");
}

ColumnConfig read_column(const ConfigReader& columns, const std::string& name) {
  ColumnConfig out{.name = name, .from = name, .spellings = {}, .line = columns.line_of(name)};
  const toml::node* node = columns.table().get(name);
  if (!node->is_table()) {
    out.from = *columns.string(name);
    check_source(columns, name, out.from);
    return out;
  }
  const ConfigReader column = *columns.sub(name);
  column.allow({"from", "spelling", "else", "type", "write"}, {"zone"});
  for (const char* key : {"else", "type", "write"}) refuse_outside_collections(column, key);
  if (const auto from = column.string("from")) {
    out.from = *from;
    check_source(column, "from", out.from);
  }
  out.spellings = read_spellings(column);
  return out;
}

void read_from(const ConfigReader& table, const Config& config, TableConfig& out) {
  const auto from = table.string("from");
  if (out.only == Only::kPostgres) {
    if (from)
      table.fail("from", "a table that is only in PostgreSQL comes from nowhere", "take from out");
    return;
  }
  if (!from) {
    if (config.stores.empty()) {
      table.fail("", "from = \"COLLECTION:/path\" is missing",
                 "say where its rows are: from = \"COLLECTION\" for whole records");
    }
    if (config.stores.size() != 1) {
      table.fail("", "from = \"STORE.TABLE\" is missing: there is more than one store");
    }
    out.store = config.stores.front().name;
    out.old_table = out.table;
    return;
  }
  if (from->find(':') != from->npos || config.stores.empty()) {
    std::vector<std::string> known;
    for (const auto& there : config.collections) known.push_back(there.collection.name);
    table.fail("from", fmt::format("there is no [collection.{}]", from->substr(0, from->find(':'))),
               known.empty() ? "" : fmt::format("known collections: {}", fmt::join(known, ", ")));
  }
  const auto dot = from->find('.');
  if (dot == from->npos || dot == 0 || dot + 1 == from->size()) {
    table.fail("from", fmt::format("expected \"STORE.TABLE\", found \"{}\"", *from));
  }
  out.store = from->substr(0, dot);
  out.old_table = from->substr(dot + 1);
  std::vector<std::string> known;
  for (const auto& store : config.stores) known.push_back(store.name);
  if (std::find(known.begin(), known.end(), out.store) == known.end()) {
    table.fail("from", fmt::format("there is no [store.{}]", out.store),
               fmt::format("known stores: {}", fmt::join(known, ", ")));
  }
}

TableConfig read_table(const ConfigReader& table, const std::string& name, const Config& config) {
  const auto from = table.text("from");
  const CollectionConfig* collection = from ? collection_of(config, *from) : nullptr;
  table.allow({"from", "only", "group", "orphans", "columns", "order", "at", "deletes", "where"});
  for (const char* key : {"order", "at", "deletes", "where"}) {
    if (collection == nullptr) refuse_outside_collections(table, key);
  }
  TableConfig out;
  out.line = table.line();
  const auto dot = name.find('.');
  out.table = dot == name.npos ? name : name.substr(dot + 1);
  if (dot != name.npos) out.schema = name.substr(0, dot);
  if (out.table.empty() || out.schema.empty()) table.fail("", "expected TABLE or \"SCHEMA.TABLE\"");
  if (const auto i = table.word("only", {"postgres", "old"})) {
    out.only = *i == 0 ? Only::kPostgres : Only::kOld;
  }
  if (const auto i = table.word("orphans", {"quarantine", "null", "leave"})) {
    out.orphans = std::array{Orphans::kQuarantine, Orphans::kNull, Orphans::kLeave}[*i];
  }
  if (const auto group = table.string("group")) {
    check_name(table, "group", *group);
    out.group = *group;
  }
  if (collection != nullptr && out.only == Only::kNeither) {
    read_document_table(table, *from, *collection, out);
  } else {
    read_from(table, config, out);
  }
  if (const auto columns = table.sub("columns")) {
    if (out.only != Only::kNeither) {
      table.fail("columns", "a table on one side only has no columns to map", "take them out");
    }
    for (const auto& [key, node] : columns->table()) {
      const std::string column(key.str());
      out.columns.push_back(out.collection.empty() ? read_column(*columns, column)
                                                   : read_document_column(*columns, column));
    }
  }
  return out;
}

void read_tables(const ConfigReader& root, Config& config) {
  const auto tables = root.sub("table");
  if (!tables) return;
  std::set<std::pair<std::string, std::string>> taken;
  for (const auto& [name, table] : tables->subs()) {
    TableConfig out = read_table(table, name, config);
    const bool sqlite = !out.old_table.empty() && out.collection.empty();
    if (sqlite && !taken.insert({out.store, out.old_table}).second) {
      table.fail("from", fmt::format("{}.{} is mapped twice", out.store, out.old_table),
                 "one old table goes to one table");
    }
    config.tables.push_back(std::move(out));
  }
}

void read_bridge(const ConfigReader& root, Config& config) {
  const auto bridge = root.sub("bridge");
  if (!bridge)
    root.fail("", "[bridge] is missing", "begin the file with [bridge] and name = \"…\"");
  bridge->allow({"name", "state_dir", "run_dir", "max_pause"});
  const auto name = bridge->string("name");
  if (!name) bridge->fail("", "name is missing", "give the bridge a name: name = \"app\"");
  check_name(*bridge, "name", *name);
  config.bridge = *name;
  config.state_dir = resolve(config, bridge->string("state_dir").value_or("switchback.state"));
  if (const auto run_dir = bridge->string("run_dir")) config.run_dir = resolve(config, *run_dir);
  if (const auto pause = bridge->duration("max_pause")) {
    if (pause->count() == 0 || *pause > kLongestPause) {
      bridge->fail("max_pause", "expected more than nothing and at most 60s");
    }
    config.max_pause = *pause;
  }
}

void read_verify(const ConfigReader& root, Config& config) {
  const auto verify = root.sub("verify");
  if (!verify) return;
  verify->allow({"every", "rate"});
  if (verify->string("every") == "off") {
    config.verify_every = std::chrono::milliseconds(0);
  } else if (const auto every = verify->duration("every")) {
    if (every->count() == 0) verify->fail("every", "expected more than nothing, or \"off\"");
    config.verify_every = *every;
  }
  if (const auto rate = verify->number("rate")) {
    if (*rate < 0) verify->fail("rate", "expected rows a second, 0 for as many as can be read");
    config.verify_rate = static_cast<std::uint64_t>(*rate);
  }
}

toml::table parse_toml(std::string_view text, const std::filesystem::path& file) {
  try {
    return toml::parse(text, file.string());
  } catch (const toml::parse_error& error) {
    throw Error(
        ErrorKind::kUsage, Retry::kNever, fmt::format("this is no TOML: {}", error.description()),
        {.object = fmt::format("{}:{}", file.filename().string(), error.source().begin.line)});
  }
}

}  // namespace

void check_name(const ConfigReader& reader, std::string_view key, const std::string& name) {
  const bool fits =
      !name.empty() && name.size() <= 40 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
      });
  if (!fits) {
    reader.fail(
        key, fmt::format("expected up to 40 letters, digits, \"_\" and \"-\", found \"{}\"", name));
  }
}

std::vector<Spelling> read_spellings(const ConfigReader& column) {
  std::vector<Spelling> out;
  if (const auto words = column.strings("spelling")) {
    if (words->empty()) column.fail("spelling", "expected at least one spelling, found []");
    for (const auto& word : *words) out.push_back(parse_spelling(column, word));
  }
  return out;
}

std::string Config::at(int line) const {
  return line == 0 ? file.filename().string()
                   : fmt::format("{}:{}", file.filename().string(), line);
}

Config parse_config(std::string_view text, const std::filesystem::path& file,
                    const Environment& environment) {
  Config config;
  config.file = std::filesystem::absolute(file).lexically_normal();
  const toml::table parsed = parse_toml(text, config.file);
  const ConfigReader root(parsed, config.file.filename().string(), "");
  root.allow({"bridge", "postgres", "load", "admin", "verify", "store", "collection", "table"},
             {"hooks", "backup"});
  read_bridge(root, config);
  read_admin(root, config);
  read_postgres(root, environment, config);
  if (const auto load = root.sub("load")) {
    load->allow({"drop_constraints"});
    config.drop_constraints = load->boolean("drop_constraints").value_or(true);
  }
  read_verify(root, config);
  read_collections(root, config);
  read_stores(root, config);
  read_tables(root, config);
  if (config.run_dir.empty()) {
    const auto beside = config.stores.empty() ? config.collections.front().collection.root
                                              : config.stores.front().sqlite.parent_path();
    config.run_dir = beside / "switchback.run";
  }
  except_own_folders(config);
  return config;
}

Config load_config(const std::filesystem::path& file, const Environment& environment) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(file, code)) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "there is no such configuration file",
                {.object = file.string(), .next = "name it: switchback -c PATH/switchback.toml …"});
  }
  return parse_config(read_file(file), file, environment);
}

void require_postgres(const Config& config) {
  if (config.postgres_from != PostgresFrom::kNowhere) return;
  throw Error(ErrorKind::kUsage, Retry::kNever, "nothing says where PostgreSQL is",
              {.object = config.file.filename().string(),
               .next = "set DATABASE_URL=postgresql://USER@HOST/DATABASE, or PGHOST and the like, "
                       "or [postgres] url, or [postgres] private = true"});
}

}  // namespace switchback
