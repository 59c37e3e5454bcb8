#include "bridge/mapping_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bridge/constraint_text.h"
#include "state/base/error.h"

namespace switchback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Config config_of(const std::string& more) {
  return parse_config("[bridge]\nname = \"app\"\n[store.app]\nsqlite = \"app.db\"\n" + more,
                      "/srv/switchback.toml", [](const char*) -> const char* { return nullptr; });
}

SqliteColumn old_column(const std::string& name) {
  SqliteColumn column;
  column.name = name;
  return column;
}

CatalogColumn pg_column(const std::string& name, bool not_null = false) {
  CatalogColumn column;
  column.name = name;
  column.not_null = not_null;
  return column;
}

SqliteTable old_table(const std::string& name, const std::vector<std::string>& columns,
                      std::vector<int> key) {
  SqliteTable table;
  table.name = name;
  for (const auto& column : columns) table.columns.push_back(old_column(column));
  table.primary_key = std::move(key);
  return table;
}

CatalogTable pg_table(const std::string& name, const std::vector<std::string>& columns,
                      std::vector<std::string> key) {
  CatalogTable table;
  table.schema = "public";
  table.name = name;
  for (const auto& column : columns) table.columns.push_back(pg_column(column));
  table.primary_key = std::move(key);
  return table;
}

CatalogForeignKey reference(const std::string& column, const std::string& parent) {
  CatalogForeignKey key;
  key.name = column + "_fkey";
  key.columns = {column};
  key.parent_schema = "public";
  key.parent_table = parent;
  key.parent_columns = {"id"};
  return key;
}

/// users <- posts <- likes, as both sides know them.
struct World {
  std::vector<StoreSchema> stores = {{"app",
                                      {old_table("likes", {"id", "post_id"}, {0}),
                                       old_table("posts", {"text", "id", "user_id"}, {1}),
                                       old_table("users", {"id", "name"}, {0})}}};
  std::vector<CatalogTable> catalog = {pg_table("likes", {"id", "post_id"}, {"id"}),
                                       pg_table("posts", {"text", "id", "user_id"}, {"id"}),
                                       pg_table("users", {"id", "name"}, {"id"})};

  World() {
    catalog[0].foreign_keys = {reference("post_id", "posts")};
    catalog[1].foreign_keys = {reference("user_id", "users")};
  }
  BuiltMapping build(const std::string& more = "") const {
    return build_mapping(config_of(more), stores, catalog);
  }
  std::string refusal(const std::string& more = "") const {
    try {
      build(more);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << more;
    return {};
  }
};

std::vector<std::string> old_names(const TableMap& table) {
  std::vector<std::string> names;
  for (const auto& column : table.columns) names.push_back(column.old_name);
  return names;
}

TEST(MappingBuilder, MapsEqualNamesWithKeysFirstAndParentsBelow) {
  const BuiltMapping built = World().build();
  EXPECT_THAT(built.warnings, IsEmpty());
  ASSERT_EQ(built.mapping.tables.size(), 3u);
  EXPECT_EQ(built.mapping.bridge, "app");
  const TableMap& posts = built.mapping.tables[1];
  EXPECT_EQ(posts.table, "posts");
  EXPECT_EQ(posts.id, TableId{1});
  EXPECT_EQ(posts.key_width, 1);
  EXPECT_THAT(old_names(posts), ElementsAre("id", "text", "user_id"));
  ASSERT_EQ(posts.foreign_keys.size(), 1u);
  EXPECT_THAT(posts.foreign_keys[0].columns, ElementsAre(2));
  EXPECT_THAT(posts.foreign_keys[0].parent_columns, ElementsAre(0));
  EXPECT_EQ(built.mapping.tables[2].rank, 0);
  EXPECT_EQ(posts.rank, 1);
  EXPECT_EQ(built.mapping.tables[0].rank, 2);
}

TEST(MappingBuilder, CompositeKeysFollowPostgresOrder) {
  World world;
  world.stores[0].tables = {old_table("t", {"a", "b", "c"}, {0, 1})};
  world.catalog = {pg_table("t", {"a", "b", "c"}, {"b", "a"})};
  EXPECT_THAT(old_names(world.build().mapping.tables[0]), ElementsAre("b", "a", "c"));
}

TEST(MappingBuilder, TablesOfACycleHaveOneRank) {
  World world;
  world.catalog[2].columns.push_back(pg_column("pinned"));
  world.catalog[2].foreign_keys = {reference("pinned", "posts"), reference("id", "users")};
  const Mapping mapping = world.build().mapping;
  EXPECT_EQ(mapping.tables[1].rank, mapping.tables[2].rank);
  EXPECT_EQ(mapping.tables[0].rank, mapping.tables[1].rank + 1);
}

TEST(MappingBuilder, ColumnsMapByConfigurationAndBySpelling) {
  World world;
  world.stores[0].tables[2].columns.push_back(old_column("Born"));
  world.catalog[2].columns = {pg_column("id"), pg_column("full_name"), pg_column("born")};
  const BuiltMapping built = world.build(
      "[table.users.columns]\nfull_name = \"name\"\nborn = { from = \"born\", spelling = "
      "[\"unix\"] }\n");
  EXPECT_THAT(old_names(built.mapping.tables[2]), ElementsAre("id", "name", "Born"));
  EXPECT_THAT(built.mapping.tables[2].columns[2].spellings, ElementsAre(Spelling::kUnix));
}

TEST(MappingBuilder, WhatStaysBehindIsSaid) {
  World world;
  world.stores[0].tables.push_back(old_table("drafts", {"id"}, {0}));
  world.stores[0].tables[2].columns.push_back(old_column("nick"));
  world.catalog[2].columns.push_back(pg_column("score"));
  const BuiltMapping built = world.build();
  EXPECT_THAT(
      built.warnings,
      ElementsAre("app.users: column nick has no counterpart in public.users and is not carried",
                  "app.drafts has no counterpart in PostgreSQL: it is neither copied nor fenced"));
  EXPECT_THAT(old_names(built.mapping.tables[2]), ElementsAre("id", "name", ""));
}

TEST(MappingBuilder, TablesOfOneSideOnlyDoNotFlow) {
  World world;
  world.stores[0].tables.push_back(old_table("drafts", {"id"}, {0}));
  world.catalog.push_back(pg_table("queue", {"id", "user_id"}, {"id"}));
  world.catalog[3].foreign_keys = {reference("user_id", "users")};
  const Mapping mapping =
      world.build("[table.queue]\nonly = \"postgres\"\n[table.drafts]\nonly = \"old\"\n").mapping;
  ASSERT_EQ(mapping.tables.size(), 5u);
  EXPECT_EQ(mapping.tables[0].only, Only::kOld);
  EXPECT_EQ(mapping.tables[0].old_table, "drafts");
  EXPECT_EQ(mapping.tables[3].only, Only::kPostgres);
  EXPECT_EQ(mapping.tables[3].store, "");
  EXPECT_EQ(mapping.tables[3].rank, 1);
  EXPECT_THAT(
      world.refusal("[table.drafts]\nonly = \"old\"\n"),
      HasSubstr("public.queue: foreign key user_id_fkey refers to public.users, but the table "
                "itself is not in the bridge. Next: add [table.\"public.queue\"] with only = "
                "\"postgres\""));
}

TEST(MappingBuilder, RefusesWhatCannotFlow) {
  World world;
  EXPECT_THAT(
      world.refusal("[table.uzers]\nfrom = \"app.users\"\n"),
      HasSubstr("switchback.toml:5: public.uzers: there is no such table in PostgreSQL. Next: "
                "did you mean \"users\"?"));
  EXPECT_THAT(world.refusal("[table.users]\nfrom = \"app.people\"\n"),
              HasSubstr("app.people: there is no such table in SQLite"));
  EXPECT_THAT(
      world.refusal("[table.users.columns]\nnam = \"name\"\n"),
      HasSubstr(
          "public.users: there is no column nam in PostgreSQL. Next: did you mean \"name\"?"));
  EXPECT_THAT(world.refusal("[table.users.columns]\nname = \"nick\"\n"),
              HasSubstr("app.users: there is no column nick in SQLite"));
  EXPECT_THAT(
      world.refusal("[table.users]\nfrom = \"app.users\"\ngroup = \"a\"\n"),
      HasSubstr(
          "foreign key user_id_fkey leads from group \"all\" to public.users in group \"a\""));
  EXPECT_THAT(world.refusal("[table.x]\nfrom = \"app.users\"\n[table.posts]\nfrom = \"app.users\"\n"
                            "[table.users]\nfrom = \"app.posts\"\n"),
              HasSubstr("mapped twice"));
}

TEST(MappingBuilder, RefusesTablesWhoseRowsCouldCollide) {
  World world;
  world.catalog[2].primary_key.clear();
  EXPECT_THAT(world.refusal(), HasSubstr("public.users: it has no primary key. Next: ALTER TABLE"));
  world = World();
  world.stores[0].tables[2].primary_key = {1};
  EXPECT_THAT(world.refusal(),
              HasSubstr("nothing keeps (id) unique in SQLite, which is the key of "
                        "public.users. Next: CREATE UNIQUE INDEX … ON \"users\" (\"id\")"));
  world.stores[0].tables[2].unique_indexes = {{"u", {{"\"id\"", 0, "BINARY"}}, "id > 0"}};
  EXPECT_THAT(world.refusal(), HasSubstr("nothing keeps (id) unique"));
  world.stores[0].tables[2].unique_indexes[0].where.clear();
  EXPECT_EQ(world.build().mapping.tables.size(), 3u);
  world.stores[0].tables[2].columns[0].name = "uid";
  EXPECT_THAT(world.refusal(), HasSubstr("its key column id has no counterpart in app.users"));
}

TEST(MappingBuilder, RefusesAColumnThatNothingCanFill) {
  World world;
  world.catalog[2].columns.push_back(pg_column("score", true));
  EXPECT_THAT(world.refusal(), HasSubstr("column score is NOT NULL without a default"));
  world.catalog[2].columns.back().has_default = true;
  EXPECT_EQ(world.build().mapping.tables.size(), 3u);
}

TEST(MappingBuilder, OrphansCannotBecomeNullWhereNullIsForbidden) {
  World world;
  world.catalog[1].columns[2].not_null = true;
  EXPECT_THAT(world.refusal("[table.posts]\norphans = \"null\"\n"),
              HasSubstr("public.posts: orphans = \"null\", but column user_id of foreign key "
                        "user_id_fkey is NOT NULL"));
}

TEST(MappingBuilder, AKilledLoadBuildsTheSameMapping) {
  const World world;
  World during = world;
  for (auto& table : during.catalog) {
    table.primary_key.clear();
    table.foreign_keys.clear();
  }
  const std::vector<DroppedKey> dropped = {
      {"public", "users", "users_pkey", "PRIMARY KEY (id)"},
      {"public", "posts", "posts_pkey", "PRIMARY KEY (id)"},
      {"public", "likes", "likes_pkey", "PRIMARY KEY (id)"},
      {"public", "likes", "post_id_fkey", "FOREIGN KEY (post_id) REFERENCES posts(id)"},
      {"public", "posts", "user_id_fkey", "FOREIGN KEY (user_id) REFERENCES public.users(id)"},
      {"public", "posts", "posts_text_key", "UNIQUE (text)"},
      {"public", "gone", "gone_pkey", "PRIMARY KEY (id)"}};
  during.catalog = overlay_dropped(during.catalog, dropped);
  const Mapping before = world.build().mapping;
  const Mapping after = during.build().mapping;
  EXPECT_EQ(mapping_outline(before), mapping_outline(after));
  for (std::size_t i = 0; i < before.tables.size(); ++i) {
    EXPECT_EQ(before.tables[i].rank, after.tables[i].rank);
    EXPECT_EQ(before.tables[i].foreign_keys.size(), after.tables[i].foreign_keys.size());
  }
  EXPECT_THAT(mapping_outline(before),
              HasSubstr("1 public.posts <- app.posts (id=id) group all\n"));
}

TEST(ConstraintText, ReadsWhatPostgresWrites) {
  EXPECT_THAT(*parse_primary_key("PRIMARY KEY (a, \"B \"\"c\", ä)"),
              ElementsAre("a", "B \"c", "ä"));
  EXPECT_EQ(parse_primary_key("UNIQUE (a)"), std::nullopt);
  EXPECT_EQ(parse_primary_key("PRIMARY KEY (a"), std::nullopt);
  const auto key = parse_foreign_key("f",
                                     "FOREIGN KEY (a, b) REFERENCES \"S.x\".t(c, d) MATCH FULL ON "
                                     "UPDATE CASCADE ON DELETE SET NULL DEFERRABLE",
                                     "public");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->parent_schema, "S.x");
  EXPECT_EQ(key->parent_table, "t");
  EXPECT_THAT(key->columns, ElementsAre("a", "b"));
  EXPECT_THAT(key->parent_columns, ElementsAre("c", "d"));
  EXPECT_EQ(key->on_update, 'c');
  EXPECT_EQ(key->on_delete, 'n');
  EXPECT_EQ(parse_foreign_key("f", "FOREIGN KEY (a) REFERENCES t(b)", "public")->parent_schema,
            "public");
}

}  // namespace
}  // namespace switchback
