#include "replication/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/postgres_cluster.h"

namespace switchback {
namespace {

using ::testing::ElementsAre;

constexpr const char* kSchema = R"(
CREATE SCHEMA switchback;
CREATE TABLE switchback.group_state (a int PRIMARY KEY);
CREATE FUNCTION switchback.refuse_write() RETURNS trigger LANGUAGE plpgsql
  AS 'BEGIN RETURN NEW; END';
CREATE SCHEMA "Od d";
CREATE DOMAIN public.short AS varchar(7) CHECK (value <> '');
CREATE DOMAIN public.shorter AS public.short;
CREATE TYPE public.mood AS ENUM ('good', 'bad');
CREATE TABLE public.parent (b int, a bigint, PRIMARY KEY (a, b));
CREATE TABLE "Od d"."Ta""ble" (
  id serial PRIMARY KEY, gone int, always int GENERATED ALWAYS AS IDENTITY,
  price numeric(10,2) DEFAULT 1, doubled numeric GENERATED ALWAYS AS (price * 2) STORED,
  name public.shorter NOT NULL, at timestamptz, feeling public.mood, tags text[], pb int, pa bigint,
  code character(3) UNIQUE,
  CONSTRAINT cheap CHECK (price < 100));
ALTER TABLE "Od d"."Ta""ble" ADD CONSTRAINT to_parent FOREIGN KEY (pb, pa)
  REFERENCES parent (b, a) ON DELETE CASCADE ON UPDATE SET NULL NOT VALID;
ALTER TABLE "Od d"."Ta""ble" DROP COLUMN gone;
ALTER TABLE "Od d"."Ta""ble" REPLICA IDENTITY FULL;
CREATE INDEX by_name ON "Od d"."Ta""ble" (lower(name::text));
CREATE TRIGGER mine BEFORE INSERT ON "Od d"."Ta""ble" FOR EACH ROW
  EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TRIGGER fence BEFORE INSERT ON "Od d"."Ta""ble" FOR EACH ROW
  EXECUTE FUNCTION switchback.refuse_write();
ALTER TABLE "Od d"."Ta""ble" ENABLE ALWAYS TRIGGER fence;
CREATE TABLE public.parts (k int PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE public.part1 PARTITION OF public.parts FOR VALUES FROM (0) TO (10);
CREATE TABLE public.refers (id int PRIMARY KEY, k int REFERENCES parts);
)";

class Catalog : public ::testing::Test {
 protected:
  void SetUp() override {
    connection_ =
        std::make_unique<Connection>(Connection::open(test::fresh_database(), "switchback test"));
    connection_->exec(kSchema);
    tables_ = read_catalog(*connection_);
  }
  const CatalogTable& odd() const { return tables_.at(0); }
  const CatalogColumn& column(const std::string& name) const {
    for (const auto& column : odd().columns) {
      if (column.name == name) return column;
    }
    throw std::runtime_error("no column " + name);
  }
  std::unique_ptr<Connection> connection_;
  std::vector<CatalogTable> tables_;
};

TEST_F(Catalog, ListsTheApplicationsTablesOnly) {
  std::vector<std::string> names;
  for (const auto& table : tables_) names.push_back(table.schema + "." + table.name);
  EXPECT_THAT(names, ElementsAre("Od d.Ta\"ble", "public.parent", "public.part1", "public.parts",
                                 "public.refers"));
  EXPECT_EQ(tables_[3].kind, 'p');
  EXPECT_EQ(odd().owner, "postgres");
  EXPECT_EQ(odd().replica_identity, 'f');
  EXPECT_FALSE(connection_->in_transaction());
}

TEST_F(Catalog, ReadsColumns) {
  EXPECT_EQ(odd().columns.size(), 11u);
  EXPECT_EQ(odd().columns[1].name, "always");
  EXPECT_EQ(column("id").type, PgType::kInt4);
  EXPECT_TRUE(column("id").not_null);
  EXPECT_TRUE(column("id").has_default);
  EXPECT_EQ(column("id").sequence, R"("Od d"."Ta""ble_id_seq")");
  EXPECT_TRUE(column("always").identity_always);
  EXPECT_NE(column("always").sequence, "");
  EXPECT_EQ(column("price").type_name, "numeric(10,2)");
  EXPECT_GT(column("price").type_modifier, 0);
  EXPECT_TRUE(column("price").has_default);
  EXPECT_TRUE(column("doubled").generated);
  EXPECT_FALSE(column("doubled").has_default);
  EXPECT_EQ(column("name").type, PgType::kVarchar);
  EXPECT_EQ(column("name").type_name, "shorter");
  EXPECT_EQ(column("feeling").type, PgType::kOtherText);
  EXPECT_EQ(column("feeling").type_name, "mood");
  EXPECT_EQ(column("tags").type, PgType::kOtherText);
  EXPECT_EQ(column("code").type, PgType::kChar);
  EXPECT_EQ(column("at").type, PgType::kTimestamptz);
}

TEST_F(Catalog, ReadsKeysInKeyOrder) {
  EXPECT_THAT(tables_[1].primary_key, ElementsAre("a", "b"));
  ASSERT_EQ(odd().foreign_keys.size(), 1u);
  const CatalogForeignKey& key = odd().foreign_keys[0];
  EXPECT_EQ(key.name, "to_parent");
  EXPECT_THAT(key.columns, ElementsAre("pb", "pa"));
  EXPECT_EQ(key.parent_schema + "." + key.parent_table, "public.parent");
  EXPECT_THAT(key.parent_columns, ElementsAre("b", "a"));
  EXPECT_EQ(key.on_delete, 'c');
  EXPECT_EQ(key.on_update, 'n');
  EXPECT_FALSE(key.validated);
  EXPECT_EQ(tables_[4].foreign_keys.size(), 1u);  // not once more for the partition
}

TEST_F(Catalog, ReadsConstraintsAndIndexesWithTheirSql) {
  std::vector<std::string> found;
  for (const auto& object : odd().objects) found.push_back(object.name + ": " + object.definition);
  EXPECT_THAT(
      found,
      ElementsAre("cheap: CHECK ((price < (100)::numeric))",
                  "to_parent: FOREIGN KEY (pb, pa) REFERENCES parent(b, a) ON UPDATE SET NULL "
                  "ON DELETE CASCADE NOT VALID",
                  "Ta\"ble_pkey: PRIMARY KEY (id)", "Ta\"ble_code_key: UNIQUE (code)",
                  "by_name: CREATE INDEX by_name ON \"Od d\".\"Ta\"\"ble\" USING btree "
                  "(lower((name)::text))"));
  EXPECT_EQ(odd().objects.back().sort, CatalogObject::Sort::kIndex);
}

TEST_F(Catalog, TellsOurTriggersFromTheApplications) {
  ASSERT_EQ(odd().triggers.size(), 2u);
  EXPECT_EQ(odd().triggers[0].name, "fence");
  EXPECT_TRUE(odd().triggers[0].ours);
  EXPECT_EQ(odd().triggers[0].enabled, 'A');
  EXPECT_FALSE(odd().triggers[1].ours);
  EXPECT_EQ(odd().triggers[1].enabled, 'O');
}

}  // namespace
}  // namespace switchback
