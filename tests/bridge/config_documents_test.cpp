// What the configuration says of files, and the mapping that becomes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "bridge/config.h"
#include "bridge/mapping_builder.h"
#include "state/base/error.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kCouncil = R"([bridge]
name = "council"
[collection.talks]
root    = "app/data"
files   = "conversations/{/id}.json"
except  = "conversations/draft-*.json"
records = ""
lock    = "{path}.lock"
ascii   = true
[table.conversations]
from = "talks"
[table.conversations.columns]
id         = "/id"
title      = { from = ["/title", "/name"], else = "=untitled" }
extra      = "$rest"
[table.messages]
from  = "talks:/messages/*"
where = { "/role" = ["user", "assistant"] }
deletes = "apply"
[table.messages.columns]
id              = "$uuid"
conversation_id = "^/id"
position        = "$key"
body            = { from = "/content", type = "json", write = "absent" }
)";

Config parse_with(const std::string& text) {
  return parse_config(text, "/srv/switchback.toml",
                      [](const char*) -> const char* { return nullptr; });
}

CatalogColumn column(const std::string& name, PgType type, const std::string& type_name) {
  CatalogColumn out;
  out.name = name;
  out.type = type;
  out.type_name = type_name;
  return out;
}

std::vector<CatalogTable> catalog() {
  CatalogTable talks;
  talks.schema = "public";
  talks.name = "conversations";
  talks.columns = {column("title", PgType::kText, "text"), column("id", PgType::kUuid, "uuid"),
                   column("extra", PgType::kJsonb, "jsonb"),
                   column("seen", PgType::kBool, "boolean")};
  talks.primary_key = {"id"};
  CatalogTable messages;
  messages.schema = "public";
  messages.name = "messages";
  messages.columns = {
      column("id", PgType::kUuid, "uuid"), column("conversation_id", PgType::kUuid, "uuid"),
      column("position", PgType::kInt4, "integer"), column("body", PgType::kJson, "json")};
  messages.primary_key = {"id"};
  CatalogForeignKey key;
  key.name = "messages_conversation_id_fkey";
  key.columns = {"conversation_id"};
  key.parent_schema = "public";
  key.parent_table = "conversations";
  key.parent_columns = {"id"};
  messages.foreign_keys = {key};
  return {talks, messages};
}

std::string refusal_of(const std::string& text) {
  try {
    auto tables = catalog();
    tables[1].foreign_keys.clear();
    build_mapping(parse_with(text), {}, tables);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  ADD_FAILURE() << "accepted:\n" << text;
  return {};
}

TEST(ConfigDocuments, ReadsACollection) {
  const Config config = parse_with(kCouncil);
  EXPECT_EQ(config.run_dir, "/srv/app/data/switchback.run");
  ASSERT_EQ(config.collections.size(), 1u);
  const Collection& talks = config.collections[0].collection;
  EXPECT_EQ(talks.root, "/srv/app/data");
  EXPECT_EQ(talks.files[0].text, "conversations/{/id}.json");
  EXPECT_EQ(talks.records.form, RecordsLayout::Form::kWhole);
  EXPECT_EQ(talks.lock, "{path}.lock");
  EXPECT_TRUE(talks.ascii);
}

// A row that stays cannot do so without its parent.
TEST(ConfigDocuments, RowsThatStayNeedTheirParents) {
  const auto with = [](const std::string& more_of_parent, const std::string& more_of_child) {
    std::string text = kCouncil;
    text.replace(text.find("deletes = \"apply\""), 17, "deletes = \"keep\"\n" + more_of_child);
    text.replace(text.find("from = \"talks\"\n"), 15, "from = \"talks\"\n" + more_of_parent);
    return build_mapping(parse_with(text), {}, catalog()).mapping;
  };
  const Mapping both = with("deletes = \"keep\"\n", "");
  EXPECT_TRUE(both.tables[0].keep_deleted && both.tables[1].keep_deleted);
  EXPECT_TRUE(with("", "orphans = \"leave\"").tables[1].keep_deleted);
  try {
    with("", "");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_NE(std::string(error.what()).find("refer to conversations"), std::string::npos)
        << error.what();
  }
}

TEST(ConfigDocuments, OneLockForAllFilesLiesBelowTheRoot) {
  std::string text = kCouncil;
  text.replace(text.find("{path}.lock"), 11, "locks/all.lock");
  EXPECT_EQ(parse_with(text).collections[0].collection.lock, "locks/all.lock");
}

TEST(ConfigDocuments, WhatTheBridgeWritesItselfBelongsToNoCollection) {
  std::string text = kCouncil;
  text.replace(text.find("app/data"), 8, ".");
  text.replace(text.find("conversations/{/id}.json"), 24, "**/*.json");
  const Config config = parse_with(text);
  const auto& except = config.collections[0].collection.except;
  const auto taken = [&](const std::string& path) {
    return std::none_of(except.begin(), except.end(),
                        [&](const FilePattern& pattern) { return match_path(pattern, path); });
  };
  EXPECT_FALSE(taken("switchback.state/backups/before-capture.json"));
  EXPECT_FALSE(taken("switchback.state.pg/a.json"));
  EXPECT_FALSE(taken("switchback.run/primary"));
  EXPECT_TRUE(taken("switchback.states/a.json"));
  text.insert(text.find("[collection"), "state_dir = \".\"\n");
  EXPECT_THAT(refusal_of(text), HasSubstr("/srv/ is a folder of the bridge's own"));
}

TEST(ConfigDocuments, BuildsWhatTheLensExecutes) {
  const BuiltMapping built = build_mapping(parse_with(kCouncil), {}, catalog());
  ASSERT_EQ(built.documents.collections.size(), 1u);
  const Collection& talks = built.documents.collections[0];
  ASSERT_EQ(talks.levels.size(), 2u);
  EXPECT_THAT(talks.levels[1].path, ElementsAre("messages"));
  EXPECT_TRUE(talks.levels[1].each);
  ASSERT_EQ(talks.tables.size(), 2u);
  const TableMap& conversations = built.mapping.table(talks.tables[0].table);
  EXPECT_EQ(conversations.table, "conversations");
  EXPECT_EQ(conversations.store, "files");
  EXPECT_EQ(conversations.columns[0].name, "id");
  EXPECT_EQ(conversations.columns[1].old_name, "/title or /name");
  EXPECT_EQ(conversations.columns[3].old_name, "");
  EXPECT_EQ(talks.tables[0].columns[1].otherwise->constant, "untitled");
  const TableSource& messages = talks.tables[1];
  ASSERT_TRUE(messages.columns[1].from[0].same_as.has_value());
  EXPECT_EQ(messages.columns[1].from[0].same_as->table, 0);
  EXPECT_THAT(messages.order, ElementsAre(2));
  EXPECT_THAT(messages.where[0].values, ElementsAre("user", "assistant"));
  EXPECT_TRUE(messages.columns[3].json_in_text);
  EXPECT_EQ(messages.columns[3].gone, ColumnSource::Gone::kAbsent);
  EXPECT_GT(built.mapping.table(messages.table).rank, conversations.rank);
}

TEST(ConfigDocuments, SaysWhereWhatAndWhyOfEachMistake) {
  const std::string least =
      "[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"*.json\"\n[table.conversations]\n";
  const std::string columns = least + "from = \"c\"\n[table.conversations.columns]\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[bridge]\nname = \"a\"\n[collection.c]\n",
       "switchback.toml:3: [collection.c]: files = \"PATTERN\" is missing"},
      {"[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"../x.json\"\n",
       "switchback.toml:4: [collection.c] files: the file pattern \"../x.json\""},
      {"[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"{id}.json\"\n", "such as {/id}"},
      {"[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"*.json\"\nrecords = \"*\"\n",
       "switchback.toml:5: [collection.c] records: expected \"/*\", \"\", \"/member/*\", \"lines\" "
       "or "
       "\"file\", found \"*\""},
      {"[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"*.json\"\nkeep_copy = \"copy\"\n",
       "[collection.c] keep_copy: expected the file's path with something around it"},
      {"[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"*.json\"\nlock = \"../lock\"\n",
       "[collection.c] lock: expected a file below the collection's root, such as \".lock\""},
      {"[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"*.json\"\nlock = \"{path}\"\n",
       "[collection.c] lock: expected the file's path with something around it"},
      {"[bridge]\nname = \"a\"\n[collection.c]\nfiles = \"*.json\"\n[table.messages]\nonly = "
       "\"postgres\"\n",
       "[collection.c]: no table takes from it"},
      {least, "[table.conversations]: from = \"COLLECTION:/path\" is missing"},
      {least + "from = \"d:/x\"\n",
       "[table.conversations] from: there is no [collection.d]. Next: known collections: c"},
      {least + "from = \"c:messages\"\n", "expected a path such as \"/object\" or \"/list/*\""},
      {columns + "id = \"id\"\n",
       "switchback.toml:8: [table.conversations.columns] id: expected a pointer such as \"/name\""},
      {columns + "id = \"$id\"\n", "\"$id\" is no source"},
      {columns + "id = \"/id\"\nnope = \"/x\"\n", "there is no column nope in PostgreSQL"},
      {columns + "title = \"/t\"\n", "nothing says where its key column id comes from"},
      {columns + "id = \"/id\"\ntitle = \"^/t\"\n", "nothing encloses it that far out"},
      {columns + "id = \"/id\"\ntitle = \"$sha256\"\n", "only files taken as a whole have it"},
      {columns + "id = { from = \"/id\", write = \"never\" }\n", "expected \"null\" or \"absent\""},
      {columns + "id = { else = \"=x\" }\n",
       "[table.conversations.columns.id]: from = SOURCE is missing"},
      {least + "from = \"c:/list/*\"\n[table.conversations.columns]\nid = \"/id\"\n",
       "no column says which row encloses a row"},
      {least + "from = \"c\"\nat = \"front\"\n", "expected \"end\" or \"start\", found \"front\""},
      {least + "from = \"c\"\ndeletes = \"never\"\n",
       "expected \"apply\" or \"keep\", found \"never\""},
      {least + "from = \"c\"\norder = \"when\"\n[table.conversations.columns]\nid = \"/id\"\n",
       "[table.conversations] order: there is no column when"},
  };
  for (const auto& [text, expected] : cases)
    EXPECT_THAT(refusal_of(text), HasSubstr(expected)) << text;
}

}  // namespace
}  // namespace switchback
