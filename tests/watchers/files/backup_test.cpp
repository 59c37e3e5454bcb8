#include "watchers/files/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "state/base/durable_file.h"
#include "tests/watchers/files/files_fixture.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class FilesBackup : public ::testing::Test {
 protected:
  void SetUp() override {
    store_.write("a.json", R"([{"id": 1}])");
    store_.write("in/b.json", R"([{"id": 2}])");
    store_.write("not-meant.txt", "x");
  }
  void backup() { backup_files(*store_.text().documents(), name_); }
  std::string copy(const std::string& path) const { return read_file(name_ / "1" / path); }
  std::string manifest() const { return read_file(name_.string() + ".json"); }

  FilesFixture store_{{.files = "**/*.json"},
                      {{.name = "users", .path = "", .columns = {"id int = /id"}}}};
  fs::path name_ = store_.folder() / "kept";
};

TEST_F(FilesBackup, CopiesEveryFileAndVouchesForItLast) {
  fs::create_directories(name_ / "1");
  replace_file(name_ / "1/stale.json", "[]", 0600);  // of a backup that died
  backup();
  EXPECT_EQ(copy("a.json"), R"([{"id": 1}])");
  EXPECT_EQ(copy("in/b.json"), R"([{"id": 2}])");
  EXPECT_FALSE(fs::exists(name_ / "1/not-meant.txt"));
  EXPECT_FALSE(fs::exists(name_ / "1/stale.json"));
  EXPECT_THAT(manifest(), HasSubstr(R"("file":"1/in/b.json","bytes":11,"mode":"0644")"));
  EXPECT_THAT(manifest(), Not(HasSubstr("stale")));
}

TEST_F(FilesBackup, WaitsForAWriteInProgress) {
  store_.write("a.json", R"([{"id": 1)");
  std::jthread writer([this] {
    while (!fs::exists(name_.string() + ".tmp")) std::this_thread::yield();  // it has begun
    store_.write("a.json", R"([{"id": 1}, {"id": 3}])");
  });
  backup();
  EXPECT_EQ(copy("a.json"), R"([{"id": 1}, {"id": 3}])");
}

}  // namespace
}  // namespace switchback
