#include "bridge/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "bridge/config_reader.h"
#include "bridge/conninfo.h"
#include "state/base/error.h"
#include "tests/support/temp_folder.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;

constexpr const char* kFile = "/srv/app/switchback.toml";
constexpr const char* kLeast = "[bridge]\nname = \"app\"\n[store.app]\nsqlite = \"data/app.db\"\n";

Environment environment(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> const char* {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  };
}

Config parse(const std::string& text, std::map<std::string, std::string> values = {}) {
  return parse_config(text, kFile, environment(std::move(values)));
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  ADD_FAILURE() << "accepted:\n" << text;
  return {};
}

TEST(Config, FillsInWhatIsNotSaid) {
  const Config config = parse(kLeast);
  EXPECT_EQ(config.bridge, "app");
  EXPECT_EQ(config.state_dir, "/srv/app/switchback.state");
  EXPECT_EQ(config.run_dir, "/srv/app/data/switchback.run");
  EXPECT_EQ(config.max_pause, std::chrono::milliseconds(500));
  EXPECT_EQ(config.admin_host, "127.0.0.1");
  EXPECT_EQ(config.admin_port, 7733);
  EXPECT_TRUE(config.drop_constraints);
  ASSERT_EQ(config.stores.size(), 1u);
  EXPECT_EQ(config.stores[0].sqlite, "/srv/app/data/app.db");
  EXPECT_TRUE(config.stores[0].all_tables);
}

TEST(Config, ReadsTheWholeLanguage) {
  const Config config = parse(R"([bridge]
name = "app"
state_dir = "/var/lib/x"
run_dir = "run"
max_pause = "2s"
[admin]
listen = "[::1]:0"
[load]
drop_constraints = false
[postgres]
schema = "schema.sql"
[store.app]
sqlite = "/data/app.db"
tables = ["users", "posts"]
[table.users]
from = "app.people"
group = "g1"
orphans = "null"
[table.users.columns]
name = "full_name"
born = { from = "birthday", spelling = ["iso-ms-z", "unix"] }
[table."audit.queue"]
only = "postgres"
)");
  EXPECT_EQ(config.state_dir, "/var/lib/x");
  EXPECT_EQ(config.run_dir, "/srv/app/run");
  EXPECT_EQ(config.max_pause, std::chrono::seconds(2));
  EXPECT_EQ(config.admin_host, "::1");
  EXPECT_EQ(config.admin_port, 0);
  EXPECT_EQ(config.schema, "/srv/app/schema.sql");
  EXPECT_EQ(config.stores[0].tables, (std::vector<std::string>{"users", "posts"}));
  ASSERT_EQ(config.tables.size(), 2u);
  const TableConfig& users = config.tables[0];
  EXPECT_EQ(users.old_table, "people");
  EXPECT_EQ(users.group, "g1");
  EXPECT_EQ(users.orphans, Orphans::kNull);
  ASSERT_EQ(users.columns.size(), 2u);
  EXPECT_EQ(users.columns[0].name, "born");
  EXPECT_EQ(users.columns[0].spellings, (std::vector{Spelling::kIsoMsZ, Spelling::kUnix}));
  EXPECT_EQ(users.columns[1].from, "full_name");
  EXPECT_EQ(config.tables[1].schema, "audit");
  EXPECT_EQ(config.tables[1].table, "queue");
  EXPECT_EQ(config.tables[1].only, Only::kPostgres);
}

TEST(Config, SaysHowOftenAndHowFastToCompare) {
  EXPECT_EQ(parse(kLeast).verify_every, std::chrono::hours(1));
  EXPECT_EQ(parse(kLeast).verify_rate, 20'000u);
  const Config config = parse(std::string(kLeast) + "[verify]\nevery = \"90s\"\nrate = 0\n");
  EXPECT_EQ(config.verify_every, std::chrono::seconds(90));
  EXPECT_EQ(config.verify_rate, 0u);
  const Config off = parse(std::string(kLeast) + "[verify]\nevery = \"off\"\n");
  EXPECT_EQ(off.verify_every.count(), 0);
  EXPECT_NE(refusal(std::string(kLeast) + "[verify]\nevery = \"0s\"\n").find("every"),
            std::string::npos);
  EXPECT_NE(refusal(std::string(kLeast) + "[verify]\nrate = -1\n").find("rate"), std::string::npos);
}

TEST(Config, TheExampleIsValid) {
  const Config config =
      load_config(SWITCHBACK_SOURCE_DIR "/configs/twitter/switchback.toml", environment({}));
  EXPECT_EQ(config.bridge, "twitter");
  EXPECT_EQ(config.tables.size(), 10u);
}

TEST(Config, SaysWhereWhatAndWhyOfEachMistake) {
  const std::string least = kLeast;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[bridge\n", "switchback.toml:1: this is no TOML: "},
      {"[store.a]\nsqlite = \"a\"\n", "[bridge] is missing"},
      {"[bridge]\nnam = \"x\"\n",
       "switchback.toml:2: [bridge] nam: unknown key. Next: did you mean \"name\"?"},
      {"[bridge]\nname = 7\n",
       "switchback.toml:2: [bridge] name: expected a string, found an integer 7"},
      {"[bridge]\nname = \"a b\"\n",
       "[bridge] name: expected up to 40 letters, digits, \"_\" and \"-\", found \"a b\""},
      {"[bridge]\nname = \"\"\n", "[bridge] name: expected a string that is not empty"},
      {"[bridge]\nname = \"a\"\nmax_pause = \"fast\"\n",
       "switchback.toml:3: [bridge] max_pause: expected a duration such as \"500ms\", \"2s\", "
       "\"10m\" or \"1h\", "
       "found "
       "\"fast\""},
      {"[bridge]\nname = \"a\"\nmax_pause = \"0s\"\n",
       "expected more than nothing and at most 60s"},
      {"[bridge]\nname = \"a\"\n", "no [store.NAME] and no [collection.NAME] says what to move"},
      {"[bridge]\nname = \"a\"\n[store.s]\n",
       "switchback.toml:3: [store.s]: sqlite = \"PATH\" is missing"},
      {least + "[stor.b]\n", "stor: unknown key. Next: did you mean \"store\"?"},
      {least + "[backup]\nkeep = 3\n", "backup: not in this version yet. Next: take it out"},
      {least + "[admin]\nlisten = \"localhost\"\n",
       "[admin] listen: expected \"ADDRESS:PORT\" or \"off\", found \"localhost\""},
      {least + "[admin]\nlisten = \"localhost:99999\"\n", "expected \"ADDRESS:PORT\""},
      {least + "[load]\ndrop_constraints = \"yes\"\n",
       "[load] drop_constraints: expected true or false, found a string 'yes'"},
      {least + "[postgres]\nurl = \"x\"\nprivate = true\n",
       "either private = true or a url, not both"},
      {least + "[table.users]\nfrom = \"app\"\n",
       "[table.users] from: expected \"STORE.TABLE\", found \"app\""},
      {least + "[table.users]\nfrom = \"web.users\"\n",
       "[table.users] from: there is no [store.web]. Next: known stores: app"},
      {least + "[table.a]\nfrom = \"app.t\"\n[table.b]\nfrom = \"app.t\"\n",
       "switchback.toml:8: [table.b] from: app.t is mapped twice"},
      {least + "[table.t]\nonly = \"pg\"\n",
       "[table.t] only: expected \"postgres\" or \"old\", found \"pg\""},
      {least + "[table.t]\nonly = \"postgres\"\nfrom = \"app.t\"\n", "comes from nowhere"},
      {least + "[table.t]\norphans = \"drop\"\n",
       "[table.t] orphans: expected \"quarantine\", \"null\" or \"leave\", found \"drop\""},
      {least + "[table.t]\nwhere = {}\n",
       "[table.t] where: only a table that takes from a [collection.NAME] has it"},
      {least + "[table.t.columns]\nc = \"/a/b\"\n",
       "[table.t.columns] c: expected the name of a SQLite column, found \"/a/b\""},
      {least + "[table.t.columns]\nc = { from = \"c\", spelling = [\"isoms\"] }\n",
       "[table.t.columns.c] spelling: expected sqlite, iso-ms-z, iso, twitter, unix, unix-ms; "
       "found "
       "\"isoms\""},
      {least + "[table.t.columns]\nc = { from = \"c\", else = \"d\" }\n",
       "else: only a table that takes from a [collection.NAME] has it. Next: take it out"},
      {"[bridge]\nname = \"a\"\n[store.s]\nsqlite = \"a\"\ntables = []\n",
       "or a list of table names, found []"},
  };
  for (const auto& [text, expected] : cases) EXPECT_THAT(refusal(text), HasSubstr(expected));
}

TEST(Config, PostgresIsFoundInTheDesignedOrder) {
  const std::string with_url = std::string(kLeast) + "[postgres]\nurl = \"postgresql://h/d\"\n";
  const std::map<std::string, std::string> all = {{"DATABASE_URL", "postgresql://e/d"},
                                                  {"PGHOST", "p"}};
  EXPECT_EQ(parse(with_url, all).conninfo, "postgresql://h/d");
  EXPECT_EQ(parse(kLeast, all).conninfo, "postgresql://e/d");
  const Config libpq = parse(kLeast, {{"PGHOST", "p"}});
  EXPECT_EQ(libpq.postgres_from, PostgresFrom::kLibpq);
  EXPECT_EQ(libpq.conninfo, "");
  require_postgres(libpq);
  EXPECT_EQ(parse(std::string(kLeast) + "[postgres]\nprivate = true\n", all).postgres_from,
            PostgresFrom::kPrivate);
  try {
    require_postgres(parse(kLeast));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(),
                HasSubstr("nothing says where PostgreSQL is. Next: set DATABASE_URL="));
  }
}

TEST(Config, APasswordNeedsAPrivateFileAndIsNeverPrinted) {
  const test::TempFolder folder;
  const std::string path = (folder / "switchback.toml").string();
  std::ofstream(path) << kLeast << "[postgres]\nurl = \"postgresql://u:geheim@h/d\"\n";
  ::chmod(path.c_str(), 0640);
  try {
    load_config(path, environment({}));
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("chmod 600 '" + path + "'"));
    EXPECT_THAT(error.what(), ::testing::Not(HasSubstr("geheim")));
  }
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(load_config(path, environment({})).postgres_from, PostgresFrom::kConfig);
}

TEST(Conninfo, IsDescribedWithoutSecrets) {
  EXPECT_EQ(describe_conninfo("postgresql://u:geheim@h:5432/d?password=x"), "h:5432/d");
  EXPECT_EQ(describe_conninfo("postgresql://h/d"), "h/d");
  EXPECT_EQ(describe_conninfo("postgresql://u@%2Frun%2Fpg/d"), "/run/pg/d");
  EXPECT_EQ(describe_conninfo("host=h user=u password=geheim dbname=d"), "host=h dbname=d");
  EXPECT_EQ(describe_conninfo("password='a host=geheim' dbname=d"), "as configured");
  EXPECT_EQ(describe_conninfo("postgresql://u:p/w@h/d"), "as configured");
  EXPECT_EQ(describe_conninfo(""), "as libpq's environment says");
}

TEST(Conninfo, KnowsAPassword) {
  EXPECT_TRUE(has_password("postgresql://u:x@h/d"));
  EXPECT_TRUE(has_password("host=h password=x"));
  EXPECT_TRUE(has_password("postgresql://h/d?user=u&password=x"));
  EXPECT_FALSE(has_password("postgresql://u@h:5432/d"));
  EXPECT_FALSE(has_password("postgresql://u:@h/d"));
  EXPECT_FALSE(has_password("host=h user=u"));
}

TEST(Config, MissingFileSaysHowToNameIt) {
  try {
    load_config("/nowhere/switchback.toml", environment({}));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("switchback -c PATH"));
  }
}

TEST(ConfigReader, DurationsHaveAUnit) {
  EXPECT_EQ(parse_duration("500ms"), std::chrono::milliseconds(500));
  EXPECT_EQ(parse_duration("2m"), std::chrono::minutes(2));
  EXPECT_EQ(parse_duration("2"), std::nullopt);
  EXPECT_EQ(parse_duration("-2s"), std::nullopt);
  EXPECT_EQ(parse_duration("1h30"), std::nullopt);
  EXPECT_EQ(parse_duration(""), std::nullopt);
}

}  // namespace
}  // namespace switchback
