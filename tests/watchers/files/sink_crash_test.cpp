// The sink dies, or a step of it fails, at every durable step of a batch over several files: the
// next to open the store finds all files of the batch or none, with the position that fits.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "tests/watchers/files/files_fixture.h"
#include "tests/watchers/files/sink_crash.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

using State = std::map<std::string, std::string>;

struct Ending {
  bool died = false;
  int code = 0;
};

Ending run_child(const fs::path& folder, const std::string& failpoint) {
  const int status = std::system(fmt::format("SWITCHBACK_FAILPOINT={} exec {} {} 2>/dev/null",
                                             failpoint, SINK_CRASH_CHILD, folder.string())
                                     .c_str());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return {code != 0 && code != 3, code};
}

class SinkCrash : public testing::TestWithParam<std::string> {
 protected:
  SinkCrash() : store_(kCrashCollection, kCrashTables) {
    store_.collection().keep_copy = "{path}.backup";
    for (const std::string id : {"a", "b", "c"}) {
      const std::string bytes = fmt::format(R"({{"id":"{}","title":"old"}})", id);
      store_.write("chats/" + id + ".json", bytes);
      store_.write("chats/" + id + ".json.backup", bytes);
    }
    store_.install();
  }
  State files() const {
    State out;
    for (const auto& entry : fs::directory_iterator(store_.root() / "chats")) {
      const std::string name = entry.path().filename().string();
      out[name] = store_.read("chats/" + name);
    }
    return out;
  }
  /// What the next process finds, once it has opened the store.
  void expect_all_or_none(const State& before, const State& after) {
    Position position;
    {
      const auto sink = store_.sink();
      position = sink->applied();
      EXPECT_EQ(sink->quarantined(), 0u);
    }
    EXPECT_EQ(files(), position == Position{} ? before : after);
    const auto source = store_.source();
    source->start({});
    FilesReplica replica;
    ASSERT_TRUE(store_.pull_batch(*source, replica));
    EXPECT_TRUE(replica.changes.empty()) << "the ledger is not what the files are";
    EXPECT_FALSE(store_.pull_batch(*source, replica, std::chrono::milliseconds(200)));
  }
  State after() const {
    State out;
    for (const std::string id : {"a", "b", "d"}) {
      // A record that is born is spelled like the others.
      out[id + ".json"] = out[id + ".json.backup"] =
          fmt::format(R"({{"id":"{}","title":"new"}})", id);
    }
    return out;
  }

  FilesFixture store_;
};

TEST_P(SinkCrash, AllFilesOrNone) {
  const State before = files();
  int deaths = 0;
  for (int hit = 1;; ++hit) {
    const Ending end = run_child(store_.folder(), fmt::format("{}@{}", GetParam(), hit));
    expect_all_or_none(before, after());
    if (end.code == 0) break;
    ++deaths;
    EXPECT_EQ(end.died, GetParam().ends_with("crash")) << "exit code " << end.code;
    if (HasFailure() || hit > 40) break;
  }
  EXPECT_GT(deaths, 0) << "nothing ever hit " << GetParam();
  EXPECT_EQ(files(), after());
}

std::vector<std::string> endings() {
  std::vector<std::string> out;
  for (const std::string step :
       {"files.stage.sync", "files.ledger.commit", "files.replace", "files.folder_sync"}) {
    for (const std::string side : {".before", ".after"}) {
      out.push_back(step + side + "=crash");
      out.push_back(step + side + "=error");
    }
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Steps, SinkCrash, testing::ValuesIn(endings()), [](const auto& test) {
  std::string name = test.param;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

}  // namespace
}  // namespace switchback
