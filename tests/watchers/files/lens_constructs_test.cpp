// Each construct of the mapping language by itself, there and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state/base/error.h"
#include "tests/watchers/files/lens_fixture.h"

namespace switchback {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string reason(const RecordText& put) {
  return put.refused.empty() ? "" : put.refused[0].reason;
}

TEST(LensConstructs, TheFirstThatIsThereIsReadAndWritten) {
  LensText lens({}, {{.name = "t",
                      .path = "",
                      .columns = {"id int = /id", "name text = /title | /name else =none"}}});
  EXPECT_THAT(lens.rows(R"({"id":1,"name":"b"})"), ElementsAre("t(1, b)"));
  EXPECT_THAT(lens.rows(R"({"id":1,"title":null,"name":"b"})"), ElementsAre("t(1, b)"));
  EXPECT_THAT(lens.rows(R"({"id":1,"title":null})"), ElementsAre("t(1, none)"));
  lens.upsert("t", {"1", "c"});
  EXPECT_EQ(lens.put(R"({"id":1,"name":"b"})").bytes, R"({"id":1,"name":"c"})");
  lens.upsert("t", {"1", "none"});
  EXPECT_EQ(lens.put(R"({"id":1})").bytes, R"({"id":1})");
  lens.upsert("t", {"1", "some"});
  EXPECT_EQ(lens.put(R"({"id":1})").bytes, R"({"id":1,"title":"some"})");
  lens.upsert("t", {"1", "NULL"});
  EXPECT_THAT(reason(lens.put(R"({"id":1,"name":"b"})")), HasSubstr("another value"));
}

TEST(LensConstructs, AbsentAndNullStayApart) {
  LensText lens({}, {{.name = "t",
                      .path = "",
                      .columns = {"id int = /id", "a text = /a", "b text = /o/b gone absent"}}});
  const std::string both = R"({"id":1,"a":null,"o":{}})";
  lens.upsert("t", {"1", "NULL", "NULL"});
  EXPECT_EQ(lens.put(both).bytes, both);
  lens.upsert("t", {"1", "NULL", "NULL"});
  EXPECT_EQ(lens.put(R"({"id":1,"a":"x","o":{"b":"y"}})").bytes, R"({"id":1,"a":null,"o":{}})");
  lens.upsert("t", {"1", "x", "UNCHANGED"});
  EXPECT_EQ(lens.put(both).bytes, R"({"id":1,"a":"x","o":{}})");
}

TEST(LensConstructs, MembersKeepTheirTypePerRecord) {
  LensText lens({},
                {{.name = "t",
                  .path = "",
                  .columns = {"id int = /id", "v text = /v", "n numeric = /n", "b bool = /b"}}});
  lens.upsert("t", {"1", "6", "2.50", "false"});
  EXPECT_EQ(lens.put(R"({"id":"1","v":5,"n":"1.5","b":1})").bytes,
            R"({"id":"1","v":6,"n":"2.50","b":0})");
  lens.upsert("t", {"1", "six", "2.50", "false"});
  EXPECT_EQ(lens.put(R"({"id":1,"v":5,"n":1.5,"b":true})").bytes,
            R"({"id":1,"v":"six","n":2.50,"b":false})");
  lens.upsert("t", {"1", "{\"a\":2}", "1.5", "true"});
  EXPECT_EQ(lens.put(R"({"id":1,"v":{"a": 1},"n":1.5,"b":true})").bytes,
            R"({"id":1,"v":{"a": 2},"n":1.5,"b":true})");
}

TEST(LensConstructs, ListsOfPlainValuesAsAnArrayColumn) {
  LensText lens({},
                {{.name = "t", .path = "", .columns = {"id int = /id", "tags text[] = /tags"}}});
  EXPECT_THAT(lens.rows(R"({"id":1,"tags":["a","b c","","NULL",null,"q\"\\"]})"),
              ElementsAre(R"(t(1, {a,"b c","","NULL",NULL,"q\"\\"}))"));
  lens.upsert("t", {"1", R"({a,"x y",NULL})"});
  EXPECT_EQ(lens.put(R"({"id":1,"tags":["a","b"]})").bytes, R"({"id":1,"tags":["a","x y",null]})");
}

TEST(LensConstructs, RestIsWhatNothingTakes) {
  LensText lens(
      {},
      {{.name = "t", .path = "", .columns = {"id int = /id", "x int = /o/x", "rest jsonb = $rest"}},
       {.name = "u", .path = "/list/*", .columns = {"id int = /id", "t int = ^/id"}}});
  EXPECT_THAT(lens.rows(R"({"id":1,"o":{"x":1,"y":2},"list":[],"z":{},"w":null})"),
              ElementsAre(R"(t(1, 1, {"o":{"y":2},"z":{},"w":null}))"));
  EXPECT_THAT(lens.rows(R"({"id":1,"o":{"x":1}})"), ElementsAre("t(1, 1, {})"));
  EXPECT_THAT(lens.rows(R"({"id":1,"o":{}})"), ElementsAre("t(1, NULL, {})"));
  EXPECT_THAT(lens.rows(R"({"id":1,"o":null})"), ElementsAre("t(1, NULL, {})"));
  lens.upsert("t", {"1", "1", R"({"z": 5, "o": {"q": [1]}})"});
  EXPECT_EQ(lens.put(R"({"id":1,"o":{"x":1,"y":2},"list":[],"z":{},"w":null})").bytes,
            R"({"id":1,"o":{"x":1,"q":[1]},"list":[],"z":5})");
  lens.upsert("t", {"1", "1", R"({"id": 2})"});
  EXPECT_THAT(reason(lens.put(R"({"id":1,"o":{"x":1}})")), HasSubstr("which a column takes"));
}

TEST(LensConstructs, MapsAreKeyedByTheirNames) {
  LensText lens({}, {{.name = "t", .path = "", .columns = {"id text = $key", "v int = /v"}},
                     {.name = "docs",
                      .path = "/docs/*",
                      .columns = {"id text = /id", "t text = ^$key", "kind text = $key"}}});
  lens.in_map = true;
  lens.name = "a";
  const std::string text = R"({"v":1,"docs":{"pass":{"id":"d1"}}})";
  EXPECT_THAT(lens.rows(text), ElementsAre("t(a, 1)", "docs(d1, a, pass)"));
  lens.rename("t", {"a"}, {"b", "2"});
  lens.upsert("docs", {"d1", "b", "visa"});
  lens.upsert("docs", {"d2", "b", "id"});
  const RecordText put = lens.put(text);
  EXPECT_THAT(put.refused, IsEmpty()) << reason(put);
  EXPECT_EQ(put.name, "b");
  EXPECT_EQ(put.bytes, R"({"v":2,"docs":{"visa":{"id":"d1"},"id":{"id":"d2"}}})");
  lens.upsert("docs", {"d3", "a", "pass"});
  EXPECT_THAT(reason(lens.put(text)), HasSubstr("already"));
}

TEST(LensConstructs, WhereDividesOneListIntoTables) {
  LensText lens({}, {{.name = "t", .path = "", .columns = {"id int = /id"}},
                     {.name = "posts",
                      .path = "/l/*",
                      .columns = {"id int = /id", "t int = ^/id"},
                      .where = "/k = p"},
                     {.name = "likes",
                      .path = "/l/*",
                      .columns = {"id int = /id", "t int = ^/id"},
                      .where = "/k = l,m"}});
  const std::string text = R"({"id":1,"l":[{"id":1,"k":"p"},{"id":1,"k":"m"},{"id":3}]})";
  EXPECT_THAT(lens.rows(text), ElementsAre("t(1)", "posts(1, 1)", "likes(1, 1)"));
  lens.upsert("likes", {"7", "1"});
  lens.remove("posts", {"1"});
  EXPECT_EQ(lens.put(text).bytes, R"({"id":1,"l":[{"id":1,"k":"m"},{"id":3},{"id":7,"k":"l"}]})");
}

TEST(LensConstructs, ANewElementFindsItsPlace) {
  const std::string text = R"({"id":1,"l":[{"id":1,"at":10},{"id":2,"at":30}]})";
  const auto made = [&](const std::string& order, bool at_start) {
    LensText lens({}, {{.name = "t", .path = "", .columns = {"id int = /id"}},
                       {.name = "l",
                        .path = "/l/*",
                        .columns = {"id int = /id", "t int = ^/id", "at int = /at"},
                        .order = order,
                        .at_start = at_start}});
    lens.upsert("l", {"3", "1", "20"});
    return lens.put(text).bytes;
  };
  const std::string element = R"({"id":3,"at":20})";
  EXPECT_EQ(made("", false), R"({"id":1,"l":[{"id":1,"at":10},{"id":2,"at":30},)" + element + "]}");
  EXPECT_EQ(made("", true),
            R"({"id":1,"l":[)" + element + R"(,{"id":1,"at":10},{"id":2,"at":30}]})");
  EXPECT_EQ(made("at", false),
            R"({"id":1,"l":[{"id":1,"at":10},)" + element + R"(,{"id":2,"at":30}]})");
}

TEST(LensConstructs, AnOpaqueFileIsARow) {
  LensText lens({.files = "up/*", .records = "file"},
                {{.name = "f",
                  .path = "",
                  .columns = {"path text = $path", "size bigint = $size", "data bytea = $bytes"}}});
  FileFacts file;
  file.path = "up/a.bin";
  file.size = 3;
  RecordInput input;
  input.file = &file;
  input.contents = "\x00\x01z";
  Chunk rows;
  lens.lens().get(input, nullptr, lens.identities, rows);
  EXPECT_EQ(shown_rows(lens.mapping(), rows).size(), 1u);
  lens.upsert("f", {"up/b.bin", "4", "new!"});
  const RecordText made = lens.make(false, FileFacts{});
  EXPECT_THAT(made.refused, IsEmpty()) << reason(made);
  EXPECT_EQ(made.bytes, "new!");
  EXPECT_EQ(made.path, "up/b.bin");
}

TEST(LensConstructs, ThePathMaySayWhatTheRecordDoesNot) {
  LensText lens({.files = "{/user}/x.json", .records = ""},
                {{.name = "t", .path = "", .columns = {"user text = /user", "v int = /v"}}});
  FileFacts file;
  file.path = "u1/x.json";
  file.members = {{{"user"}, "u1"}};
  EXPECT_THAT(lens.rows(R"({"v":1})", file), ElementsAre("t(u1, 1)"));
  EXPECT_THAT(lens.rows(R"({"v":1,"user":"u2"})", file),
              ElementsAre(AllOf(HasSubstr("keyless: "), HasSubstr("path says it is 'u1'"))));
  lens.rename("t", {"u1"}, {"u3", "2"});
  const RecordText put = lens.put(R"({"v":1})", file);
  EXPECT_EQ(put.bytes, R"({"v":2})");
  ASSERT_EQ(put.members.size(), 1u);
  EXPECT_EQ(put.members[0].value, "u3");
}

TEST(LensConstructs, DatesKeepTheirSpelling) {
  LensText lens({},
                {{.name = "t", .path = "", .columns = {"id int = /id", "at timestamptz = /at"}}});
  const auto moved = [&](const std::string& at, const std::string& to) {
    lens.upsert("t", {"1", to});
    const std::string bytes = lens.put("{\"id\":1,\"at\":\"" + at + "\"}").bytes;
    return bytes.substr(14, bytes.size() - 16);
  };
  EXPECT_EQ(moved("2024-11-25T01:23:24.120Z", "2024-11-26T00:00:00Z"), "2024-11-26T00:00:00.000Z");
  EXPECT_EQ(moved("2024-11-25T01:23:24.120000", "2024-11-26T00:00:00.5Z"),
            "2024-11-26T00:00:00.500000");
  EXPECT_EQ(moved("2024-11-25T01:23:24.120000", "2024-11-26T00:00:00Z"), "2024-11-26T00:00:00");
  EXPECT_EQ(moved("2024-11-25T02:23:24+01:00", "2024-11-26T00:00:00Z"),
            "2024-11-26T01:00:00+01:00");
}

TEST(LensConstructs, EnclosingNamesTheRowARowBelongsTo) {
  LensText lens(
      {}, {{.name = "t", .path = "", .columns = {"id int = /id"}},
           {.name = "m", .path = "/m/*", .columns = {"id uuid = $uuid", "t int = ^/id"}},
           {.name = "p", .path = "/m/*/p/*", .columns = {"id int = /id", "m uuid = ^$uuid"}}});
  lens.upsert("p", {"5", "00000000-0000-4000-8000-000000000009"});
  const Change& change = lens.changes.changes()[0];
  const auto key = lens.lens().enclosing(change.table, lens.changes.row(change));
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->table, lens.table("m"));
  EXPECT_EQ(lens.changes.text(key->cells[0]), "00000000-0000-4000-8000-000000000009");
  EXPECT_TRUE(lens.lens().is_record(lens.table("t")));
}

TEST(Trap18, RecordsWithoutAKeyAreNamed) {
  LensText lens({}, {{.name = "t", .path = "", .columns = {"id int = /id", "v int = /v"}}});
  EXPECT_THAT(lens.rows(R"({"v":1})"),
              ElementsAre("keyless: data.json:1:1 : no value for id, the key of public.t"));
  EXPECT_THAT(lens.rows(R"({"id":null})"), ElementsAre(HasSubstr("keyless: ")));
  EXPECT_THAT(
      lens.rows(R"({"id":"x"})"),
      ElementsAre(AllOf(HasSubstr("keyless: "), HasSubstr("/id: id: text 'x' does not fit"))));
}

TEST(Trap18, DotsInNamesAndScalarsWhereObjectsWere) {
  LensText lens({},
                {{.name = "t",
                  .path = "",
                  .columns = {"id int = /id", "n int = /usage.count", "c int = /usage/count"}},
                 {.name = "p", .path = "/profile", .columns = {"id int = ^/id", "age int = /age"}},
                 {.name = "l", .path = "/list/*", .columns = {"id int = /id", "t int = ^/id"}}});
  EXPECT_THAT(
      lens.rows(R"({"id":1,"usage.count":2,"usage":{"count":3},"profile":{"age":4},"list":[]})"),
      ElementsAre("t(1, 2, 3)", "p(1, 4)"));
  EXPECT_THAT(lens.rows(R"({"id":1,"usage":"none","profile":null,"list":null})"),
              ElementsAre("t(1, NULL, NULL)"));
  EXPECT_THAT(lens.rows(R"({"id":1,"profile":"old","list":[5]})"),
              ElementsAre("t(1, NULL, NULL)",
                          HasSubstr("p(1) misfit: data.json:1:19 /profile: expected an object"),
                          HasSubstr("keyless: data.json:1:33 /list/0")));
  EXPECT_THAT(lens.rows(R"({"id":1,"list":"x"})"),
              ElementsAre("t(1, NULL, NULL)", HasSubstr("expected an array or an object")));
  lens.upsert("t", {"1", "NULL", "7"});
  EXPECT_THAT(reason(lens.put(R"({"id":1,"usage":"none"})")), HasSubstr("no object"));
}

TEST(Trap18, AListThatGrowsAtTheFrontChangesNoOtherRow) {
  LensText lens(
      {}, {{.name = "t", .path = "", .columns = {"id int = /id"}},
           {.name = "l",
            .path = "/l/*",
            .columns = {"id uuid = $uuid", "t int = ^/id", "n int = $key", "v text = \"\""}}});
  const auto before = lens.rows(R"({"id":1,"l":["a","b"]})");
  auto after = lens.rows(R"({"id":1,"l":["new","a","b"]})");
  ASSERT_EQ(after.size(), 4u);
  EXPECT_THAT(after[1], HasSubstr(", 1, -1, new)"));
  after.erase(after.begin() + 1);
  EXPECT_EQ(after, before);
  // The same list in another order: rows move, none is new.
  const auto turned = lens.rows(R"({"id":1,"l":["b","new","a"]})");
  EXPECT_THAT(turned[2], HasSubstr("-1, new)"));
}

TEST(Trap18, EqualContentsMakeDifferentHashes) {
  LensText lens({}, {{.name = "t", .path = "", .columns = {"id int = /id"}},
                     {.name = "l",
                      .path = "/l/*",
                      .columns = {"id text = $hash", "t int = ^/id", "v int = /v"}}});
  const auto rows = lens.cells(R"({"id":1,"l":[{"v":1},{"v":1},{"v":2}]})");
  EXPECT_NE(rows[1].cells[0], rows[2].cells[0]);
  const auto again = lens.cells(R"({"id":1,"l":[{"v":1},{"v":1},{"v":3}]})");
  EXPECT_EQ(again[1], rows[1]);
  EXPECT_EQ(again[2], rows[2]);
  EXPECT_NE(again[3].cells[0], rows[3].cells[0]);
}

TEST(LensConstructs, WhatADocumentCannotHoldIsRefusedByName) {
  LensText lens(
      {},
      {{.name = "t", .path = "", .columns = {"id int = /id", "kind text = =user", "v jsonb = /v"}},
       {.name = "s", .path = "", .columns = {"id int = /id", "w int = /w"}}});
  const std::string text = R"({"id":1,"v":1,"w":2})";
  lens.upsert("t", {"1", "admin", "2"});
  lens.upsert("s", {"1", "3"});
  const RecordText put = lens.put(text);
  EXPECT_EQ(put.refused.size(), 1u);
  EXPECT_THAT(reason(put), HasSubstr("kind: at the old side it is always 'user'"));
  EXPECT_EQ(put.bytes, R"({"id":1,"v":1,"w":3})");
  lens.remove("s", {"1"});
  EXPECT_THAT(reason(lens.put(text)), HasSubstr("part of its row in public.t"));
}

}  // namespace
}  // namespace switchback
