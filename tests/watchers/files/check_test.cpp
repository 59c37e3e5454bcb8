// What `check` says of a store of files before anything is installed, and what a flip's look says
// of the same. The files of another user are a real other user's, which takes root to make.
#include "watchers/files/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/watchers/files/gate_fixture.h"

namespace switchback {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::Not;
using Level = Finding::Level;

constexpr uid_t kSomebody = 65533, kSomebodyElse = 65534;

/// This process is another user while it lives.
class AsUser {
 public:
  explicit AsUser(uid_t user) { EXPECT_EQ(::seteuid(user), 0); }
  ~AsUser() { EXPECT_EQ(::seteuid(0), 0); }
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;
};

auto finding(Level level, const std::string& words) {
  return Contains(AllOf(Field(&Finding::level, level), Field(&Finding::what, HasSubstr(words))));
}

class FilesCheckTest : public FilesGateTest {
 protected:
  std::vector<Finding> check() {
    return check_files(*store_.text().mapping_pointer(), store_.text().documents());
  }
};

TEST_F(FilesCheckTest, CountsTheFilesAndWhatTheFenceIsMadeOf) {
  EXPECT_THAT(check(), finding(Level::kOk, "2 files in "));
  EXPECT_THAT(check(), finding(Level::kOk, "ours to fence"));
  EXPECT_THAT(check(), Not(Contains(Field(&Finding::level, Level::kFailure))));
}

TEST_F(FilesCheckTest, NamesAFileThatIsNoJson) {
  store_.write("sub/a.json", "[{");
  EXPECT_THAT(check(), finding(Level::kFailure, "a.json"));
}

TEST_F(FilesCheckTest, BehindItsOwnFenceNothingIsWrong) {
  close_at(2);
  if (::geteuid() != 0) {
    EXPECT_THAT(check(), Not(Contains(Field(&Finding::level, Level::kFailure))));
    return;
  }
  for (const auto& path : {store_.root(), store_.root() / "sub", path("a"), path("b")}) {
    ASSERT_EQ(::chown(path.c_str(), kSomebody, kSomebody), 0);
  }
  const AsUser owner(kSomebody);
  EXPECT_THAT(check(), Not(Contains(Field(&Finding::level, Level::kFailure))));
}

TEST_F(FilesCheckTest, FilesOfAnotherUserCannotBeFenced) {
  if (::geteuid() != 0) GTEST_SKIP() << "making a file of another user takes root";
  const auto gate = this->gate();
  ASSERT_EQ(::chown(path("a").c_str(), kSomebodyElse, kSomebodyElse), 0);
  ASSERT_EQ(::chown(path("b").c_str(), kSomebody, kSomebody), 0);
  const AsUser somebody(kSomebody);
  const std::string words = path("a").string() + " belongs to another user";
  EXPECT_THAT(check(), finding(Level::kFailure, words));
  EXPECT_THAT(obstacles_of(gate->look()), Contains(Field(&Obstacle::what, HasSubstr(words))));
}

TEST_F(FilesCheckTest, AFileOfAnotherUserThatNobodyMayWriteNeedsNoFence) {
  if (::geteuid() != 0) GTEST_SKIP() << "making a file of another user takes root";
  for (const auto& path : {store_.root(), store_.root() / "sub", path("a"), path("b")}) {
    ASSERT_EQ(::chown(path.c_str(), kSomebody, kSomebody), 0);
  }
  ASSERT_EQ(::chown(path("a").c_str(), kSomebodyElse, kSomebodyElse), 0);
  ASSERT_EQ(::chmod(path("a").c_str(), 0444), 0);
  const AsUser somebody(kSomebody);
  EXPECT_THAT(check(), Not(Contains(Field(&Finding::level, Level::kFailure))));
}

}  // namespace
}  // namespace switchback
