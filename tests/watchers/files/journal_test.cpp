// Replacements that were decided and not carried out yet: what becomes of them when the store is
// not as it was. Crashes in between are sink_crash_test.cpp's.
#include "watchers/files/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "state/base/error.h"
#include "tests/watchers/files/files_fixture.h"
#include "watchers/files/file_read.h"

namespace switchback {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

namespace fs = std::filesystem;

class FileJournalTest : public testing::Test {
 protected:
  FileJournalTest()
      : store_({.files = "**/*.json"}, {{.name = "t", .path = "", .columns = {"id int = /id"}}}) {
    store_.write("in/a.json", kBytes);
    store_.install();
    ledger_ = FilesLedger::open(store_.ledger(), false);
  }
  /// A removal of in/a.json that a crash left behind.
  void intend_removal() {
    LedgerWrite write(*ledger_);
    ledger_->add_intent({.root = store_.root(), .path = "in/a.json", .before = hash_of(kBytes)});
    write.make_durable();
  }

  static constexpr const char* kBytes = "[{\"id\": 1}]";
  FilesFixture store_;
  std::unique_ptr<FilesLedger> ledger_;
};

TEST_F(FileJournalTest, WaitsForAStoreThatIsAway) {
  intend_removal();
  const fs::path away = store_.folder() / "away";
  fs::rename(store_.root(), away);
  try {
    FileJournal(*ledger_).replay();
    FAIL() << "took a folder that is not mounted for a file that is removed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDisk);
    EXPECT_EQ(error.retry(), Retry::kLater);
  }
  EXPECT_THAT(ledger_->intents(), SizeIs(1));
  fs::rename(away, store_.root());
  FileJournal(*ledger_).replay();
  EXPECT_THAT(ledger_->intents(), IsEmpty());
  EXPECT_FALSE(fs::exists(store_.root() / "in/a.json"));
}

TEST_F(FileJournalTest, ARemovalIsDoneIfItsFolderIsGone) {
  intend_removal();
  fs::remove_all(store_.root() / "in");
  FileJournal(*ledger_).replay();
  EXPECT_THAT(ledger_->intents(), IsEmpty());
  EXPECT_EQ(ledger_->quarantined(), 0u);
}

}  // namespace
}  // namespace switchback
