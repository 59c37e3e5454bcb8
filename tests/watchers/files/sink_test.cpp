// Files as the target of changes: what PostgreSQL says stands in them afterwards, in the records'
// own places, and nothing of it comes back.
#include "watchers/files/sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <filesystem>
#include <fstream>

#include "state/base/error.h"
#include "tests/watchers/files/sink_store.h"
#include "watchers/files/ledger.h"
#include "watchers/files/mapping_text.h"

namespace switchback {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

namespace fs = std::filesystem;

const std::vector<TableText> kUsers = {
    {.name = "users", .path = "", .columns = {"id int = /id", "name text = /name"}}};

TEST(FilesSinkTest, ArrayOfRecords) {
  SinkStore store({.files = "users.json"}, kUsers);
  store.write("users.json",
              "[\n  {\"id\": 1, \"name\": \"a\"},\n  {\"id\": 2, \"name\": \"b\"}\n]\n");
  store.begin();
  store.text().upsert("users", {"2", "B"});
  store.text().upsert("users", {"3", "c"});
  store.text().remove("users", {"1"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(
      store.read("users.json"),
      "[\n  {\"id\": 2, \"name\": \"B\"},\n  {\n    \"id\": 3,\n    \"name\": \"c\"\n  }\n]\n");
  store.text().rename("users", {"2"}, {"20", "UNCHANGED"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_THAT(store.read("users.json"), HasSubstr("{\"id\": 20, \"name\": \"B\"}"));
  store.expect_no_echo();
  EXPECT_EQ(store.rows_read(), (std::map<std::string, std::string>{{"users(20", "users(20, B)"},
                                                                   {"users(3", "users(3, c)"}}));
}

TEST(FilesSinkTest, AKeyThatIsFreeAgainIsAnotherRecords) {
  SinkStore store({.files = "users.json"}, kUsers);
  store.write("users.json", R"([{"id":1,"name":"a","own":1},{"id":2,"name":"b"}])");
  store.begin();
  store.text().rename("users", {"1"}, {"3", "UNCHANGED"});
  store.text().upsert("users", {"1", "new"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("users.json"),
            R"([{"id":3,"name":"a","own":1},{"id":2,"name":"b"},{"id":1,"name":"new"}])");
  store.expect_no_echo();
}

TEST(FilesSinkTest, MapOfRecords) {
  SinkStore store({.files = "users.json"},
                  {{.name = "users", .path = "", .columns = {"id text = $key", "name text = /n"}}});
  store.write("users.json", "{\"a\":{\"n\":\"x\"},\"b\":{\"n\":\"y\"}}");
  store.begin();
  store.text().upsert("users", {"c", "z"});
  store.text().rename("users", {"a"}, {"d", "UNCHANGED"});
  store.text().remove("users", {"b"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("users.json"), "{\"d\":{\"n\":\"x\"},\"c\":{\"n\":\"z\"}}");
  store.expect_no_echo();
}

// PostgreSQL need not know that names of files are unique.
TEST(FilesSinkTest, AFileOfOneRecordTakesNoSecondOne) {
  SinkStore store(
      {.files = "pages/{/slug}.json", .records = ""},
      {{.name = "pages", .path = "", .columns = {"id int = /id", "slug text = /slug"}}});
  store.write("pages/one.json", R"({"id":1,"slug":"one"})");
  store.write("pages/two.json", R"({"id":2,"slug":"two"})");
  store.begin();
  store.text().upsert("pages", {"2", "one"});
  store.text().upsert("pages", {"1", "three"});
  EXPECT_THAT(store.commit(), IsEmpty()) << "it goes where the other one leaves";
  EXPECT_EQ(store.read("pages/one.json"), R"({"id":2,"slug":"one"})");
  EXPECT_EQ(store.read("pages/three.json"), R"({"id":1,"slug":"three"})");
  EXPECT_THAT(store.names(), ElementsAre("pages/one.json", "pages/three.json"));

  store.text().upsert("pages", {"3", "three"});
  store.text().upsert("pages", {"4", "four"});
  store.text().upsert("pages", {"2", "four"});
  const auto rejects = store.commit();
  ASSERT_THAT(rejects, SizeIs(2));
  for (const Reject& reject : rejects) {
    EXPECT_THAT(reject.reason, HasSubstr("another record has this file to itself"));
  }
  EXPECT_THAT(store.names(), ElementsAre("pages/four.json", "pages/three.json"));
  EXPECT_EQ(store.read("pages/four.json"), R"({"id":2,"slug":"four"})") << "it moved first";

  store.text().remove("pages", {"1"});
  store.text().upsert("pages", {"3", "three"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_THAT(store.read("pages/three.json"), HasSubstr("\"id\":3"));
  store.expect_no_echo();
}

TEST(FilesSinkTest, LinesOfRecords) {
  SinkStore store({.files = "log.jsonl", .records = "lines"}, kUsers);
  store.write("log.jsonl", "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b\"}\n");
  store.begin();
  store.text().upsert("users", {"3", "c"});
  store.text().upsert("users", {"1", "A"});
  store.text().remove("users", {"2"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("log.jsonl"), "{\"id\":1,\"name\":\"A\"}\n{\"id\":3,\"name\":\"c\"}\n");
  store.expect_no_echo();
}

TEST(FilesSinkTest, AFileForEachRecord) {
  SinkStore store({.files = "chats/{/id}.json", .records = ""}, kChats);
  store.write("chats/a.json", R"({"id":"a","title":"A","messages":[{"id":1,"body":"hi"}]})");
  store.begin();
  // A record is born with nested rows, one of which comes first.
  store.text().upsert("messages", {"10", "b", "first"});
  store.text().upsert("chats", {"b", "B"});
  store.text().upsert("messages", {"11", "b", "second"});
  store.text().upsert("messages", {"2", "a", "there"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("chats/a.json"),
            R"({"id":"a","title":"A","messages":[{"id":1,"body":"hi"},{"id":2,"body":"there"}]})");
  EXPECT_THAT(store.names(), ElementsAre("chats/a.json", "chats/b.json"));
  EXPECT_EQ(store.rows_read().size(), 6u);
  store.expect_no_echo();
  // A row moves to another record.
  store.text().upsert("messages", {"2", "b", "there"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("chats/a.json"),
            R"({"id":"a","title":"A","messages":[{"id":1,"body":"hi"}]})");
  EXPECT_THAT(store.read("chats/b.json"), HasSubstr("there"));
  // A record goes, with its file; another gets a new name, and keeps its messages.
  store.text().remove("messages", {"1"});
  store.text().remove("chats", {"a"});
  store.text().rename("chats", {"b"}, {"c", "UNCHANGED"});
  for (const std::string id : {"10", "11", "2"}) {
    store.text().upsert("messages", {id, "c", "UNCHANGED"});
  }
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_THAT(store.names(), ElementsAre("chats/c.json"));
  EXPECT_EQ(store.rows_read().size(), 4u);
  store.expect_no_echo();
}

TEST(FilesSinkTest, TruncateTakesEveryRowAlsoThoseOfTheSameBatch) {
  SinkStore store({.files = "chats/{/id}.json", .records = ""}, kChats);
  store.write("chats/a.json", R"({"id":"a","title":"A","messages":[{"id":1,"body":"hi"}]})");
  store.write("chats/b.json", R"({"id":"b","title":"B","messages":[{"id":2,"body":"hi"}]})");
  store.begin();
  store.text().upsert("messages", {"3", "b", "short life"});
  store.text().changes.end_truncate(store.text().table("messages"));
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.rows_read().size(), 2u);
  store.text().changes.end_truncate(store.text().table("chats"));
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_THAT(store.names(), IsEmpty());
  store.expect_no_echo();
}

TEST(FilesSinkTest, RecordsStandByTheirPlace) {
  SinkStore store({.files = "list.json"},
                  {{.name = "steps", .path = "", .columns = {"id int = /id", "at int = $key"}}});
  store.write("list.json", R"([{"id":1},{"id":2},{"id":3}])");
  store.begin();
  const auto rows = store.rows_read();
  store.text().upsert("steps", {"9", "-1"});
  store.text().upsert("steps", {"8", "-2"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("list.json"), R"([{"id":8},{"id":9},{"id":1},{"id":2},{"id":3}])");
  store.expect_no_echo();
}

TEST(FilesSinkTest, ARecordGoesWhereItsNewPlaceIs) {
  SinkStore store({.files = "tags.json"},
                  {{.name = "tags", .path = "", .columns = {"id int = /id", "place int = $key"}}});
  store.write("tags.json", R"([{"id":1,"own":true},{"id":2},{"id":3}])");
  store.begin();
  store.text().upsert("tags", {"1", "9"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("tags.json"), R"([{"id":2},{"id":3},{"id":1,"own":true}])");
  store.expect_no_echo();
  // Two exchange their places, and one is born between them.
  store.text().upsert("tags", {"2", "9"});
  store.text().upsert("tags", {"4", "5"});
  store.text().upsert("tags", {"1", "1"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("tags.json"), R"([{"id":1,"own":true},{"id":3},{"id":4},{"id":2}])");
  store.expect_no_echo();
  EXPECT_EQ(store.rows_read().at("tags(2"), "tags(2, 9)");
}

TEST(FilesSinkTest, ARecordThatMovesIsIndentedAsBefore) {
  SinkStore store({.files = "tags.json"},
                  {{.name = "tags", .path = "", .columns = {"id int = /id", "place int = $key"}}});
  store.write("tags.json", R"([
  {
    "id": 1,
    "own": [
      true
    ]
  },
  {
    "id": 2
  }
]
)");
  store.begin();
  store.text().upsert("tags", {"1", "9"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("tags.json"), R"([
  {
    "id": 2
  },
  {
    "id": 1,
    "own": [
      true
    ]
  }
]
)");
  store.expect_no_echo();
}

TEST(FilesSinkTest, ARecordFindsItsPlaceAmongThoseThatGoInTheSameBatch) {
  SinkStore store({.files = "steps.json"},
                  {{.name = "steps", .path = "", .columns = {"id int = /id", "at int = $key"}}});
  store.write("steps.json", R"([{"id":1},{"id":2},{"id":3},{"id":4}])");
  store.begin();
  store.text().remove("steps", {"2"});
  store.text().remove("steps", {"3"});
  store.text().upsert("steps", {"9", "2"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("steps.json"), R"([{"id":1},{"id":9},{"id":4}])");
  store.expect_no_echo();
}

TEST(FilesSinkTest, CollectionsOfOneFileEditItTogether) {
  SinkStore store(
      {.files = "db.json", .records = "/users/*"},
      {kUsers[0], {.name = "posts", .path = "", .columns = {"id int = /id", "t text = /t"}}});
  auto& collections = store.text().documents()->collections;
  collections.push_back(collections[0]);
  collections[0].tables.pop_back();
  collections[1].tables.erase(collections[1].tables.begin());
  collections[1].records = parse_records("/posts/*");
  store.write("db.json", R"({"users":[{"id":1,"name":"a"}],"posts":[{"id":1,"t":"x"}],"rest":1})");
  store.begin();
  store.text().upsert("users", {"1", "longer than it was"});
  store.text().upsert("posts", {"2", "y"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("db.json"), R"({"users":[{"id":1,"name":"longer than it was"}],)"
                                   R"("posts":[{"id":1,"t":"x"},{"id":2,"t":"y"}],"rest":1})");
  store.text().upsert("posts", {"1", "z"});
  EXPECT_THAT(store.commit(), IsEmpty()) << "the other collection alone";
  store.text().upsert("users", {"1", "b"});
  EXPECT_THAT(store.commit(), IsEmpty());
  store.expect_no_echo();
}

TEST(FilesSinkTest, ABatchMayComeTwice) {
  SinkStore store({.files = "users.json"}, kUsers);
  store.write("users.json", R"([{"id":1,"name":"a"},{"id":2,"name":"b"}])");
  store.begin();
  std::string once;
  for (int round = 0; round < 2; ++round) {
    store.text().upsert("users", {"3", "c"});
    store.text().remove("users", {"1"});
    store.text().rename("users", {"2"}, {"4", "b"});
    EXPECT_THAT(store.commit(), IsEmpty());
    if (round == 0) once = store.read("users.json");
  }
  EXPECT_EQ(store.rows_read(), (std::map<std::string, std::string>{{"users(3", "users(3, c)"},
                                                                   {"users(4", "users(4, b)"}}));
  EXPECT_EQ(store.read("users.json"), once);
}

TEST(FilesSinkTest, ARolledBackBatchLeavesNothing) {
  SinkStore store({.files = "users.json"}, kUsers);
  store.write("users.json", R"([{"id":1,"name":"a"}])");
  store.begin();
  const auto sink = store.sink();
  sink->applied();
  store.text().upsert("users", {"2", "b"});
  store.text().changes.boundary = Position{1, 2, 3};
  std::vector<Reject> rejects;
  sink->apply(store.text().changes, rejects);
  sink->rollback();
  EXPECT_EQ(store.read("users.json"), R"([{"id":1,"name":"a"}])");
  EXPECT_THAT(store.names(), ElementsAre("users.json"));
  EXPECT_EQ(sink->applied(), Position{});
}

TEST(FilesSinkTest, ModeOwnerAndAttributesStay) {
  SinkStore store({.files = "users.json"}, kUsers);
  store.write("users.json", R"([{"id":1,"name":"a"}])");
  const fs::path path = store.root() / "users.json";
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  const bool owned = ::chown(path.c_str(), 12345, 23456) == 0;
  const bool attributes = ::setxattr(path.c_str(), "user.origin", "app", 3, 0) == 0;
  store.begin();
  store.text().upsert("users", {"1", "b"});
  EXPECT_THAT(store.commit(), IsEmpty());
  struct stat now {};
  ASSERT_EQ(::stat(path.c_str(), &now), 0);
  EXPECT_EQ(now.st_mode & 07777, 0640u);
  if (owned) {
    EXPECT_EQ(now.st_uid, 12345u);
    EXPECT_EQ(now.st_gid, 23456u);
  }
  char value[8] = {};
  if (attributes) {
    EXPECT_EQ(::getxattr(path.c_str(), "user.origin", value, sizeof value), 3);
  }
}

TEST(Trap20, TheCopyThatTheApplicationFallsBackToIsKeptInStep) {
  SinkStore store({.files = "{/id}.json", .records = ""}, kChats);
  store.collection().keep_copy = "{path}.backup";
  store.write("a.json", R"({"id":"a","title":"A"})");
  store.write("a.json.backup", "stale");
  store.begin();
  store.text().upsert("chats", {"a", "AA"});
  store.text().upsert("chats", {"b", "B"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.read("a.json.backup"), store.read("a.json"));
  EXPECT_EQ(store.read("b.json.backup"), store.read("b.json"));
  store.text().remove("chats", {"a"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_THAT(store.names(), ElementsAre("b.json", "b.json.backup"));
}

TEST(FilesSinkTest, AFileChangedBehindTheFenceIsLeftAlone) {
  SinkStore store({.files = "*.json"}, kUsers);
  store.write("a.json", R"([{"id":1,"name":"a"}])");
  store.write("b.json", R"([{"id":2,"name":"b"}])");
  store.begin();
  const std::string theirs = R"([{"id":1,"name":"theirs"}])";
  store.write("a.json", theirs);
  store.text().upsert("users", {"1", "ours"});
  store.text().upsert("users", {"2", "ours"});
  const auto rejects = store.commit();
  ASSERT_THAT(rejects, SizeIs(1));
  EXPECT_EQ(rejects[0].key, R"(["1"])");
  EXPECT_THAT(rejects[0].reason, HasSubstr("changed behind the fence"));
  EXPECT_EQ(store.read("a.json"), theirs);
  EXPECT_EQ(store.read("b.json"), R"([{"id":2,"name":"ours"}])");
  EXPECT_EQ(store.sink_->quarantined(), 1u);
}

TEST(FilesSinkTest, WhatHasNoRecordIsRejected) {
  SinkStore store({.files = "chats/{/id}.json", .records = ""}, kChats);
  store.write("chats/a.json", R"({"id":"a","title":"A","messages":[]})");
  store.begin();
  store.text().upsert("messages", {"1", "nowhere", "lost"});
  store.text().upsert("messages", {"2", "a", "found"});
  const auto rejects = store.commit();
  ASSERT_THAT(rejects, SizeIs(1));
  EXPECT_THAT(rejects[0].reason, HasSubstr("no record encloses it"));
  EXPECT_EQ(store.rows_read().size(), 2u);
  // It comes again with its record.
  store.text().upsert("messages", {"1", "nowhere", "lost"});
  store.text().upsert("chats", {"nowhere", "N"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.sink_->quarantined(), 0u);
}

class Trap13 : public testing::Test {
 protected:
  Trap13() : store_({.files = "{/id}/chat.json", .records = ""}, kChats) {
    fs::create_directory(store_.folder() / "outside");
    store_.write("a/chat.json", R"({"id":"a","title":"A"})");
    store_.begin();
  }
  void expect_refused(const std::string& id) {
    store_.text().upsert("chats", {id, "evil"});
    const auto rejects = store_.commit();
    ASSERT_THAT(rejects, SizeIs(1)) << id;
    EXPECT_FALSE(rejects[0].reason.empty());
    store_.text().rename("chats", {"a"}, {id, "evil"});
    EXPECT_THAT(store_.commit(), SizeIs(1)) << id;
    EXPECT_THAT(store_.names(), ElementsAre("a/chat.json")) << id;
    EXPECT_EQ(store_.read("a/chat.json"), R"({"id":"a","title":"A"})") << id;
    EXPECT_TRUE(fs::is_empty(store_.folder() / "outside")) << id;
  }
  SinkStore store_;
};

TEST_F(Trap13, AKeyThatIsNoFileNameIsRefused) {
  for (const std::string& id :
       {std::string("../../etc/passwd"), std::string(".."), std::string("."), std::string(""),
        std::string(300, 'x'), std::string("/etc"), std::string("x\n"),
        std::string("../outside")}) {
    expect_refused(id);
  }
}

TEST_F(Trap13, ALinkInTheFolderIsNotFollowed) {
  fs::create_directory_symlink(store_.folder() / "outside", store_.root() / "door");
  expect_refused("door");
  // A link at the place of the file itself, made by the time the batch comes.
  fs::create_directory(store_.root() / "b");
  fs::create_symlink(store_.folder() / "outside" / "target", store_.root() / "b" / "chat.json");
  expect_refused("b");
  // And in the place of a file that is known.
  std::ofstream(store_.folder() / "target.json") << R"({"id":"a","title":"A"})";
  fs::remove(store_.root() / "a" / "chat.json");
  fs::create_symlink(store_.folder() / "target.json", store_.root() / "a" / "chat.json");
  store_.text().upsert("chats", {"a", "evil"});
  EXPECT_THAT(store_.commit(), SizeIs(1));
  EXPECT_TRUE(fs::is_symlink(store_.root() / "a" / "chat.json"));
}

TEST_F(Trap13, ALongNameThatIsStillOneWorks) {
  const std::string id(255, 'x');
  store_.text().upsert("chats", {id, "long"});
  EXPECT_THAT(store_.commit(), IsEmpty());
  EXPECT_THAT(store_.names(), SizeIs(2));
  store_.expect_no_echo();
}

}  // namespace
}  // namespace switchback
