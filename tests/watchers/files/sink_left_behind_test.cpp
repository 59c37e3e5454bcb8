// What went with the record or element that enclosed it, although no change deletes it: it goes
// into quarantine, from where it is tried again, and is never lost without a word.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/watchers/files/sink_store.h"

namespace switchback {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(FilesSinkLeftBehind, WhatWasInARecordThatGoesIsNotLostWithoutAWord) {
  SinkStore store({.files = "chats/{/id}.json", .records = ""}, kChats);
  store.write("chats/a.json",
              R"({"id":"a","title":"A","messages":[{"id":1,"body":"x"},{"id":2,"body":"y"}]})");
  store.begin();
  // PostgreSQL has no foreign key, or it would not take this.
  store.text().remove("messages", {"1"});
  store.text().upsert("messages", {"3", "a", "just come"});
  store.text().remove("chats", {"a"});
  std::vector<std::string> keys;
  for (const Reject& reject : store.commit()) keys.push_back(reject.key);
  EXPECT_THAT(store.names(), IsEmpty());
  EXPECT_THAT(keys, testing::UnorderedElementsAre("[\"2\"]", "[\"3\"]"));
  // Whatever becomes of them in PostgreSQL, they are in nobody's way any more.
  store.text().remove("messages", {"2"});
  store.text().upsert("chats", {"b", "B"});
  store.text().upsert("messages", {"3", "b", "just come"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(FilesLedger::open(store.ledger(), false)->quarantined(), 0u);
  EXPECT_EQ(store.rows_read().size(), 2u);
  store.expect_no_echo();
}

// Messages with elements of their own.
std::vector<TableText> with_marks() {
  auto tables = kChats;
  tables.push_back({.name = "marks",
                    .path = "/messages/*/marks/*",
                    .columns = {"id int = /id", "message int = ^/id", "body text = /body"}});
  return tables;
}

// Only its own row says that an element is in another record now; those inside of it say nothing.
TEST(FilesSinkLeftBehind, WhatIsInsideAnElementThatMovesToAnotherRecordFollows) {
  SinkStore store({.files = "chats/{/id}.json", .records = ""}, with_marks());
  store.write("chats/a.json", R"({"id":"a","title":"A","messages":[{"id":1,"body":"x","marks":[)"
                              R"({"id":5,"body":"u"},{"id":6,"body":"v"},{"id":7,"body":"w"}]}]})");
  store.write("chats/b.json", R"({"id":"b","title":"B","messages":[]})");
  store.begin();
  store.text().upsert("marks", {"5", "1", "U"});
  store.text().remove("marks", {"6"});
  store.text().upsert("marks", {"8", "1", "just come"});
  store.text().upsert("messages", {"1", "b", "x"});
  std::vector<std::string> keys;
  for (const Reject& reject : store.commit()) {
    keys.push_back(reject.key);
    EXPECT_EQ(reject.sqlstate, kForeignKeyViolation) << reject.reason;  // so it is tried again
  }
  EXPECT_THAT(keys, testing::UnorderedElementsAre("[\"5\"]", "[\"7\"]", "[\"8\"]"));
  // As the second try reads them.
  store.text().upsert("marks", {"5", "1", "U"});
  store.text().upsert("marks", {"7", "1", "w"});
  store.text().upsert("marks", {"8", "1", "just come"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(store.sink_->quarantined(), 0u);
  EXPECT_EQ(store.read("chats/b.json"),
            R"({"id":"b","title":"B","messages":[{"id":1,"body":"x","marks":[)"
            R"({"id":5,"body":"U"},{"id":7,"body":"w"},{"id":8,"body":"just come"}]}]})");
  store.expect_no_echo();
}

TEST(FilesSinkLeftBehind, WhatIsInsideAnElementThatGoesIsNotLostWithoutAWord) {
  SinkStore store({.files = "chats/{/id}.json", .records = ""}, with_marks());
  store.write("chats/a.json", R"({"id":"a","title":"A","messages":[{"id":1,"body":"x","marks":[)"
                              R"({"id":5,"body":"u"},{"id":6,"body":"v"}]}]})");
  store.begin();
  store.text().remove("messages", {"1"});
  store.text().remove("marks", {"5"});
  const auto rejects = store.commit();
  ASSERT_THAT(rejects, SizeIs(1));
  EXPECT_EQ(rejects[0].key, "[\"6\"]");
}

// What did not change since a refused change is not what the file has.
TEST(FilesSinkLeftBehind, ARowThatWasRefusedAndOfWhichOnlyAPartCameStaysInQuarantine) {
  SinkStore store({.files = "chats/{/id}.json", .records = ""}, kChats);
  store.write("chats/a.json", R"({"id":"a","title":"A","messages":[{"id":1,"body":"old"}]})");
  store.begin();
  const auto ledger = FilesLedger::open(store.ledger(), false);
  {
    LedgerWrite write(*ledger);
    const TableMap& map = store.text().mapping_pointer()->table(store.text().table("messages"));
    ledger->put_quarantine(qualified_name(map), "[\"1\"]", "did not fit", false);
    write.make_durable();
  }
  store.text().upsert("messages", {"1", "a", "UNCHANGED"});
  const auto rejects = store.commit();
  ASSERT_THAT(rejects, SizeIs(1));
  EXPECT_EQ(rejects[0].sqlstate, kForeignKeyViolation) << "so it is read again, and then whole";
  EXPECT_EQ(ledger->quarantined(), 1u);
  store.text().upsert("messages", {"1", "a", "new"});
  EXPECT_THAT(store.commit(), IsEmpty());
  EXPECT_EQ(ledger->quarantined(), 0u);
}

}  // namespace
}  // namespace switchback
