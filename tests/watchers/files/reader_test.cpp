// Rows as a comparison reads them while the files are fenced: what came past the fence is seen, and
// nothing of it is noted.
#include "watchers/files/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/watchers/files/files_fixture.h"
#include "watchers/files/ledger.h"

namespace switchback {
namespace {

using testing::HasSubstr;

class ClosedStore : public FilesFixture {
 public:
  using FilesFixture::FilesFixture;

  void close() const {
    install();
    const auto book = FilesLedger::open(ledger(), false);
    LedgerWrite write(*book);
    book->put_gate(text().mapping().tables.front().group, {GateState::Door::kClosed, 2});
    write.make_durable();
  }
  std::unique_ptr<RowReader> reader() const {
    return open_files_reader(text().mapping_pointer(), text().documents(), ledger());
  }
};

TEST(FilesReaderTest, WhatIsMadeUpForOneLookIsTheSameInTheNext) {
  ClosedStore store({.files = "chats/{/id}.json", .records = ""},
                    {{.name = "chats", .path = "", .columns = {"id text = /id"}},
                     {.name = "messages",
                      .path = "/messages/*",
                      .columns = {"id uuid = $uuid", "chat text = ^/id", "body text = /body"}}});
  store.write("chats/a.json", R"({"id":"a","messages":[{"body":"hi"}]})");
  store.close();
  const auto before = store.rows_read();
  store.write("chats/a.json", R"({"id":"a","messages":[{"body":"hi"},{"body":"past the fence"}]})");
  const auto first = store.rows_read();
  EXPECT_EQ(first.size(), before.size() + 1);
  EXPECT_EQ(store.rows_read(), first) << "or a comparison can never ask for the row it has seen";
}

TEST(FilesReaderTest, ARowThatTheLedgerKnowsAsDeletedIsLookedUpInTheFiles) {
  ClosedStore store({.files = "users.json"},
                    {{.name = "users", .path = "", .columns = {"id int = /id"}}});
  store.write("users.json", R"([{"id":1}])");
  store.close();
  store.write("users.json", R"([{"id":1},{"id":2}])");
  const auto reader = store.reader();
  reader->asked_for_applied_only();
  const TableId users = store.text().mapping().tables.front().id;
  Chunk keys, found;
  keys.add(Cell::integer(2));
  keys.end_delete(users);
  reader->fetch(users, keys, found);
  ASSERT_EQ(found.changes().size(), 1u);
  EXPECT_EQ(found.changes()[0].op, Op::kUpsert);
}

}  // namespace
}  // namespace switchback
