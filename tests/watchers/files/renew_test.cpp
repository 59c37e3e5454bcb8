// A history that begins anew, as `doctor --fix` has it: what the ledger knew, and what kept a mass
// deletion back, is given up for what the files hold now, and not before that is known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <functional>
#include <thread>

#include "tests/watchers/files/gate_fixture.h"
#include "watchers/files/ledger.h"

namespace switchback {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

namespace fs = std::filesystem;

class FilesRenew : public FilesGateTest {
 protected:
  FilesRenew() {
    store_.write("sub/a.json", many(11, 10));
    for (int i = 1; i < 8; ++i) {
      store_.write("sub/more" + std::to_string(i) + ".json", many(100 * i, 1));
    }
    EXPECT_THAT(store_.rows_read(), SizeIs(18));
  }

  static std::string many(int first, int count) {
    std::string out = "[";
    for (int id = first; id < first + count; ++id) {
      out += (id == first ? "" : ", ") + ("{\"id\": " + std::to_string(id)) + ", \"name\": \"n\"}";
    }
    return out + "]";
  }
  static Error refusal(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "not refused";
    return {ErrorKind::kInternal, Retry::kNever, ""};
  }
  Error not_whole() {
    return refusal([&] { endpoint()->require_whole(); });
  }
};

TEST_F(FilesRenew, AHeldMassDeletionIsRefusedUntilItIsLetThrough) {
  endpoint()->require_whole();
  store_.write("sub/a.json", "[]");
  const Error error = not_whole();
  EXPECT_EQ(error.kind(), ErrorKind::kRefused);
  EXPECT_THAT(error.what(), HasSubstr("10 of its 10 records are gone at once"));
  EXPECT_THAT(error.what(),
              HasSubstr("switchback quarantine accept --table file --key " + path("a").string()));
  const auto held = endpoint()->quarantine();
  ASSERT_THAT(held, SizeIs(1)) << "found just now, and listed";
  endpoint()->let_through(held[0]);
  endpoint()->require_whole();
}

TEST_F(FilesRenew, AFileThatIsGoneIsHeldToo) {
  fs::remove(path("a"));
  EXPECT_THAT(not_whole().what(), HasSubstr("10 of its 10 records are gone at once"));
}

TEST_F(FilesRenew, AStoreThatIsNotThereIsRefused) {
  const fs::path away = store_.folder() / "away";
  fs::rename(store_.root(), away);
  EXPECT_THAT(not_whole().what(), HasSubstr("is not there"));
  EXPECT_THAT(refusal([&] { store_.rows_read(); }).what(), HasSubstr("is not there"));
  fs::create_directory(store_.root());  // a place to mount at
  EXPECT_THAT(not_whole().what(), HasSubstr("9 of 9 files are gone"));
  fs::remove(store_.root());
  fs::rename(away, store_.root());
  endpoint()->require_whole();
  EXPECT_THAT(store_.rows_read(), SizeIs(18));
}

TEST_F(FilesRenew, NeitherLedgerNorFolderIsRefused) {
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(store_.ledger().string() + suffix);
  endpoint()->require_whole();
  fs::rename(store_.root(), store_.folder() / "away");
  EXPECT_THAT(not_whole().what(), HasSubstr("is not there"));
}

TEST_F(FilesRenew, AFileThatCannotBeReadLeavesTheLedgerAsItWas) {
  const Position before = FilesLedger::open(store_.ledger(), false)->last();
  store_.write("sub/a.json", "[{\"id\"");
  EXPECT_EQ(refusal([&] { endpoint()->renew(); }).kind(), ErrorKind::kData);
  EXPECT_EQ(FilesLedger::open(store_.ledger(), false)->last(), before);
  store_.write("sub/a.json", "[]");  // mended, so to speak
  EXPECT_THAT(not_whole().what(), HasSubstr("10 of its 10 records are gone at once"));
}

TEST_F(FilesRenew, AFileUnderTheApplicationsPenIsWaitedFor) {
  store_.write("sub/a.json", "[{\"id\"");
  const std::jthread application([&] {
    ::poll(nullptr, 0, 300);  // its pen is slow
    store_.write("sub/a.json", many(11, 12));
  });
  endpoint()->renew();
  EXPECT_THAT(store_.rows_read(), SizeIs(20));
}

}  // namespace
}  // namespace switchback
