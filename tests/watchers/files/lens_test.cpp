// The lens on records written by hand: what becomes of each construct of the mapping language,
// there and back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/watchers/files/lens_fixture.h"

namespace switchback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kUuid1 = "00000000-0000-4000-8000-000000000001";
const std::string kUuid2 = "00000000-0000-4000-8000-000000000002";

/// LLM Council: a file is a conversation, its messages have no id.
LensText council() {
  return LensText(
      {.files = "conversations/{/id}.json",
       .records = "",
       .born =
           R"({"id": "", "user_id": "", "created_at": "2024-01-01T00:00:00", "title": "", "starred": false,
                  "messages": [{"role": "", "content": "", "stage1": []}], "is_visible": true})",
       .ascii = true},
      {{.name = "conversations",
        .path = "",
        .columns = {"id uuid = /id", "user_id text = /user_id",
                    "created_at timestamp = /created_at", "title text = /title",
                    "starred bool = /starred"}},
       {.name = "messages",
        .path = "/messages/*",
        .columns = {"id uuid = $uuid", "conversation_id uuid = ^/id", "position int = $key",
                    "role text = /role", "content text = /content gone absent",
                    "stage1 json = /stage1 gone absent"}}});
}

const std::string kConversation = R"({
  "id": "5f0c1d7e-0d5c-4f6e-9f55-0f3f6a1b2c3d",
  "user_id": "u1",
  "created_at": "2024-11-25T01:23:24.120000",
  "title": "Caf\u00e9",
  "starred": false,
  "messages": [
    {
      "role": "user",
      "content": "hello"
    },
    {
      "role": "assistant",
      "stage1": [
        {
          "model": "m",
          "response": "hi"
        }
      ]
    }
  ],
  "report_cycle": 0
})";
const std::string kId = "5f0c1d7e-0d5c-4f6e-9f55-0f3f6a1b2c3d";

FileFacts facts(const std::string& id) {
  FileFacts file;
  file.path = "conversations/" + id + ".json";
  file.members = {{{"id"}, id}};
  return file;
}

TEST(Lens, ReadsARecordIntoSeveralTables) {
  LensText lens = council();
  EXPECT_THAT(lens.rows(kConversation, facts(kId)),
              ElementsAre("conversations(" + kId + ", u1, 1732497804120000, Caf\u00e9, false)",
                          "messages(" + kUuid1 + ", " + kId + ", 0, user, hello, NULL)",
                          "messages(" + kUuid2 + ", " + kId +
                              R"(, 1, assistant, NULL, [{"model":"m","response":"hi"}]))"));
}

TEST(Lens, PutOfNothingIsTheSameBytes) {
  LensText lens = council();
  lens.rows(kConversation, facts(kId));
  EXPECT_EQ(lens.put(kConversation, facts(kId)).bytes, kConversation);
}

TEST(Lens, WritesOnlyTheMemberThatChanged) {
  LensText lens = council();
  lens.rows(kConversation, facts(kId));
  lens.upsert("conversations", {kId, "u1", "2024-11-25T01:23:24.120000", "Th\u00e9", "false"});
  const RecordText put = lens.put(kConversation, facts(kId));
  std::string expected = kConversation;
  expected.replace(expected.find("Caf\\u00e9"), 9, "Th\\u00e9");
  EXPECT_EQ(put.bytes, expected);
  EXPECT_TRUE(put.refused.empty());
}

TEST(Lens, AppendsAMessageWithoutAnIdAndRemembersIt) {
  LensText lens = council();
  lens.rows(kConversation, facts(kId));
  const std::string born = "9e107d9d-372b-4fe6-9b81-0123456789ab";
  lens.upsert("messages", {born, kId, "2", "user", "more", "NULL"});
  const RecordText put = lens.put(kConversation, facts(kId));
  ASSERT_TRUE(put.refused.empty()) << put.refused[0].reason;
  std::string expected = kConversation;
  const std::string last = "      ]\n    }";
  expected.insert(expected.find(last) + last.size(),
                  ",\n    {\n      \"role\": \"user\",\n      \"content\": \"more\"\n    }");
  EXPECT_EQ(put.bytes, expected);
  EXPECT_THAT(lens.rows(put.bytes, facts(kId)),
              testing::Contains("messages(" + born + ", " + kId + ", 2, user, more, NULL)"));
}

TEST(Lens, KeepsIdentitiesWhenTheListChanges) {
  LensText lens = council();
  lens.rows(kConversation, facts(kId));
  std::string text = kConversation;
  // One message is edited, one goes in front.
  text.replace(text.find("hello"), 5, "hullo");
  text.insert(text.find("    {\n      \"role\": \"user\""),
              "    {\"role\": \"system\", \"content\": \"x\"},\n");
  const auto rows = lens.rows(text, facts(kId));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_THAT(rows[1], HasSubstr("system"));
  EXPECT_THAT(rows[3], HasSubstr(kUuid2));
  // The last one keeps its place: what grows at the front changes nothing behind it.
  EXPECT_THAT(rows[3], HasSubstr(", 1, assistant"));
}

TEST(Lens, RemovesAMessage) {
  LensText lens = council();
  lens.rows(kConversation, facts(kId));
  lens.remove("messages", {kUuid1});
  const RecordText put = lens.put(kConversation, facts(kId));
  std::string expected = kConversation;
  const std::string gone =
      "    {\n      \"role\": \"user\",\n      \"content\": \"hello\"\n    },\n";
  expected.erase(expected.find(gone), gone.size());
  EXPECT_EQ(put.bytes, expected);
  EXPECT_THAT(lens.rows(put.bytes, facts(kId)),
              ElementsAre(testing::_, HasSubstr(kUuid2 + ", " + kId + ", 1,")));
}

TEST(Lens, DeletesTheRecordWithItsRow) {
  LensText lens = council();
  lens.rows(kConversation, facts(kId));
  lens.remove("messages", {kUuid1});
  lens.remove("messages", {kUuid2});
  lens.remove("conversations", {kId});
  EXPECT_TRUE(lens.put(kConversation, facts(kId)).gone);
}

LensText orders() {
  return {{},
          {{.name = "orders", .path = "", .columns = {"id int = /id", "city text = /at/city"}},
           {.name = "lines",
            .path = "/lines/*",
            .keys = 2,
            .columns = {"order int = ^/id", "sku text = /sku", "n int = /n"}}}};
}

const std::string kOrder =
    R"({"id":1,"at":{"city":"a"},"lines":[{"sku":"x","n":1,"own":[]},{"sku":"y","n":2}]})";

TEST(Lens, RowsFollowTheirEnclosingRowToAnotherKey) {
  LensText lens = orders();
  lens.rows(kOrder);
  lens.rename("orders", {"1"}, {"7", "a"});
  lens.rename("lines", {"1", "x"}, {"7", "x", "5"});
  lens.rename("lines", {"1", "y"}, {"7", "z", "2"});
  const RecordText put = lens.put(kOrder);
  EXPECT_TRUE(put.refused.empty());
  EXPECT_EQ(put.bytes,
            R"({"id":7,"at":{"city":"a"},"lines":[{"sku":"x","n":5,"own":[]},{"sku":"z","n":2}]})");
}

TEST(Lens, ARowThatIsGoneMakesWayForOneThatTakesItsKey) {
  LensText lens = orders();
  lens.rows(kOrder);
  lens.remove("lines", {"1", "x"});
  lens.rename("lines", {"1", "y"}, {"1", "x", "2"});
  lens.upsert("lines", {"1", "y", "3"});
  const RecordText put = lens.put(kOrder);
  EXPECT_TRUE(put.refused.empty()) << put.refused[0].reason;
  EXPECT_EQ(put.bytes,
            R"({"id":1,"at":{"city":"a"},"lines":[{"sku":"x","n":2},{"sku":"y","n":3}]})");
}

TEST(Lens, MakesARecordFromTheTemplate) {
  LensText lens = council();
  lens.upsert("conversations", {kId, "u2", "2024-12-01T00:00:00", "New", "true"});
  lens.upsert("messages", {kUuid1, kId, "0", "user", "first", "NULL"});
  const RecordText made = lens.make();
  ASSERT_TRUE(made.refused.empty()) << made.refused[0].reason;
  EXPECT_EQ(made.bytes, R"({
  "id": "5f0c1d7e-0d5c-4f6e-9f55-0f3f6a1b2c3d",
  "user_id": "u2",
  "created_at": "2024-12-01T00:00:00",
  "title": "New",
  "starred": true,
  "messages": [
    {
      "role": "user",
      "content": "first"
    }
  ],
  "is_visible": true
})");
  ASSERT_EQ(made.members.size(), 1u);
  EXPECT_EQ(made.members[0].value, kId);
}

TEST(Lens, MakesNothingOfARecordThatIsGoneAgain) {
  LensText lens = council();
  lens.upsert("conversations", {kId, "u2", "2024-12-01T00:00:00", "New", "true"});
  lens.upsert("messages", {kUuid1, kId, "0", "user", "first", "NULL"});
  lens.remove("messages", {kUuid1});
  lens.remove("conversations", {kId});
  const RecordText made = lens.make();
  EXPECT_TRUE(made.gone);
  EXPECT_TRUE(made.refused.empty()) << made.refused[0].reason;
}

TEST(Lens, NullInANewRecordIsWrittenAsTheColumnSays) {
  LensText lens({.records = "", .born = R"({"id": "", "a": "x", "b": "x"})"},
                {{.name = "t",
                  .path = "",
                  .columns = {"id text = /id", "a text = /a", "b text = /b gone absent"}}});
  lens.upsert("t", {"1", "NULL", "NULL"});
  EXPECT_EQ(lens.make().bytes, "{\n  \"id\": \"1\",\n  \"a\": null\n}");
}

}  // namespace
}  // namespace switchback
