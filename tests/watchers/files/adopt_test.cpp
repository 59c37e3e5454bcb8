// A ledger that was lost and made anew: what its elements were called is known to the other side.
#include "watchers/files/adopt.h"

#include <gtest/gtest.h>

#include "state/model/copy_change.h"
#include "tests/watchers/files/files_fixture.h"
#include "watchers/files/reader.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

const std::vector<TableText> kTalks = {
    {.name = "talks", .path = "", .columns = {"id text = /id", "title text = /title"}},
    {.name = "messages",
     .path = "/messages/*",
     .columns = {"id uuid = $uuid", "talk text = ^/id", "place int = $key", "body text = /body"}},
    {.name = "votes",
     .path = "/messages/*/votes/*",
     .columns = {"id bigint = $serial", "message uuid = ^$uuid", "who text = \"\""}},
};

std::string talk(const std::string& id, const std::vector<std::string>& bodies) {
  std::string out = "{\"id\": \"" + id + "\", \"title\": \"T\", \"messages\": [";
  for (const std::string& body : bodies) {
    out += (out.back() == '[' ? "" : ", ") + ("{\"body\": \"" + body) +
           "\", \"votes\": [\"x\", \"" + body + "\"]}";
  }
  return out + "]}";
}

/// Rows as they were at one time.
class KeptRows final : public RowReader {
 public:
  KeptRows(const Mapping& mapping, RowReader& from) {
    for (const TableMap& table : mapping.tables) {
      ScanCursor cursor;
      while (!cursor.done) from.scan(table.id, cursor, rows_);
      widths_.push_back(table.key_width);
    }
  }
  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override {
    for (const Change& change : rows_.changes()) {
      if (change.table == table) copy_change(rows_, change, widths_[index(table)], out);
    }
    cursor.done = true;
    return {};
  }
  Window fetch(TableId, const Chunk&, Chunk&) override { return {}; }
  std::uint64_t estimate(TableId) override { return 0; }

 private:
  Chunk rows_;
  std::vector<std::uint16_t> widths_;
};

class Adopt : public testing::Test {
 protected:
  Adopt() : store_({.files = "{/id}.json", .records = ""}, kTalks) {
    store_.write("a.json", talk("a", {"one", "two", "two", "one"}));
    store_.write("b.json", talk("b", {"one", "three"}));
    store_.install();
    was_ = store_.rows_read();
    const auto reader = open_files_reader(mapping(), store_.text().documents(), store_.ledger());
    theirs_ = std::make_unique<KeptRows>(*mapping(), *reader);
  }

  const std::shared_ptr<Mapping>& mapping() { return store_.text().mapping_pointer(); }
  void lose_the_ledger() {
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(store_.ledger().string() + suffix);
  }
  void rebuild() {
    store_.install();
    const auto ledger = FilesLedger::open(store_.ledger(), false);
    adopt_identities(mapping(), store_.text().documents(), *ledger, *theirs_);
  }

  FilesFixture store_;
  std::map<std::string, std::string> was_;
  std::unique_ptr<KeptRows> theirs_;
};

TEST_F(Adopt, EveryIdentityComesBack) {
  lose_the_ledger();
  store_.install();
  ASSERT_NE(store_.rows_read(), was_) << "made up anew, they are others";
  rebuild();
  EXPECT_EQ(store_.rows_read(), was_);
  rebuild();
  EXPECT_EQ(store_.rows_read(), was_) << "and may come twice";
}

TEST_F(Adopt, WhatChangedMeanwhileKeepsItsIdentityWhereItIsClear) {
  lose_the_ledger();
  store_.write("a.json", talk("a", {"zero", "one", "two", "two", "one"}));
  store_.write("b.json", talk("b", {"ONE", "three"}));
  rebuild();
  const auto now = store_.rows_read();
  for (const auto& [key, row] : was_) EXPECT_TRUE(now.contains(key)) << row;
  EXPECT_EQ(now.size(), was_.size() + 3) << "a message with two votes is new";
  // What the application does next goes on from there.
  store_.write("a.json", talk("a", {"one", "two", "two", "one"}));
  const auto after = store_.rows_read();
  for (const auto& [key, row] : was_) EXPECT_TRUE(after.contains(key)) << row;
  EXPECT_EQ(after.size(), was_.size());
}

TEST_F(Adopt, ANumberThatIsTakenIsGivenToNobodyElse) {
  lose_the_ledger();
  store_.write("0.json", talk("0", {"new"}));  // looked at first: its votes get the lowest numbers
  rebuild();
  const auto now = store_.rows_read();
  for (const auto& [key, row] : was_) EXPECT_EQ(now.at(key), row);
  EXPECT_EQ(now.size(), was_.size() + 4);
}

}  // namespace
}  // namespace switchback
