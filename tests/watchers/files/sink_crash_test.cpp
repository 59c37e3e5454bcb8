// The sink dies, or a step of it fails, at every durable step of a batch over several files: the
// next to open the store finds all files of the batch or none, with the position that fits.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "tests/watchers/files/files_fixture.h"
#include "tests/watchers/files/sink_crash.h"
#include "watchers/files/file_read.h"
#include "watchers/files/files_endpoint.h"

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

class SinkCrashStore : public testing::Test {
 protected:
  SinkCrashStore() : store_(kCrashCollection, kCrashTables) {
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

class SinkCrash : public SinkCrashStore, public testing::WithParamInterface<std::string> {};

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

constexpr int kCannotBecome = 99;

/// Runs `act` in a process of the application's own user (nobody, if the test runs as root), to
/// whom the folder belongs, and exits with what it returns.
template <class Act>
Ending as_owner(const fs::path& folder, Act act) {
  constexpr uid_t kNobody = 65534;
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    EXPECT_EQ(::chown(folder.c_str(), kNobody, kNobody), 0);
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      EXPECT_EQ(::chown(entry.path().c_str(), kNobody, kNobody), 0);
    }
  }
  const pid_t child = ::fork();
  if (child == 0) {
    if (is_root && (::setresgid(kNobody, kNobody, kNobody) != 0 ||
                    ::setresuid(kNobody, kNobody, kNobody) != 0)) {
      ::_exit(kCannotBecome);
    }
    ::_exit(act());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return {code != 0 && code != 3 && code != kCannotBecome, code};
}

Ending run_child_as_owner(const fs::path& folder, const std::string& failpoint) {
  const int program = ::open(SINK_CRASH_CHILD, O_RDONLY);  // its folder may be closed to nobody
  const Ending end = as_owner(folder, [&] {
    ::setenv("SWITCHBACK_FAILPOINT", failpoint.c_str(), 1);
    std::string name = "child", where = folder.string();
    std::array<char*, 3> words{name.data(), where.data(), nullptr};
    ::fexecve(program, words.data(), environ);
    return kCannotBecome;
  });
  ::close(program);
  return end;
}

// Behind a closed gate: folders are closed to their owner, who is the sidecar.
class FencedSink : public SinkCrashStore {
 protected:
  FencedSink() {
    const auto gate = open_files({.ledger = store_.ledger(), .spool_folder = store_.folder()},
                                 store_.text().mapping_pointer(), store_.text().documents())
                          ->make_gate("all");
    const Deadline soon = Deadline::in(std::chrono::seconds(10));
    EXPECT_TRUE(gate->lock(soon));
    EXPECT_TRUE(gate->close(1, soon));
  }
  /// Of the folders, those that their owner may write in.
  std::vector<std::string> open_folders() const {
    std::vector<std::string> open;
    for (const fs::path& folder : {store_.root(), store_.root() / "chats"}) {
      const auto bits = fs::status(folder).permissions() & fs::perms::owner_write;
      if (bits != fs::perms::none) open.push_back(folder.filename().string());
    }
    return open;
  }
};

class FencedSinkCrash : public FencedSink, public testing::WithParamInterface<std::string> {};

TEST_P(FencedSinkCrash, LeavesTheFolderClosed) {
  EXPECT_THAT(open_folders(), testing::IsEmpty());
  const Ending end = run_child_as_owner(store_.folder(), GetParam());
  EXPECT_TRUE(end.died) << "exit code " << end.code;
  EXPECT_THAT(open_folders(), testing::IsEmpty()) << "what was lent was not given back";
  EXPECT_EQ(run_child_as_owner(store_.folder(), "").code, 0);
  EXPECT_EQ(files(), after());
  EXPECT_THAT(open_folders(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Steps, FencedSinkCrash,
                         testing::Values("files.stage.sync.before=crash",
                                         "files.folder_sync.before=crash",
                                         "files.folder_sync.before=crash@2",
                                         "files.replace.before=crash@2",
                                         "files.replace.after=crash@2"),
                         [](const auto& test) { return fmt::format("{}", test.index); });

// It died in the moment in which a folder was lent.
TEST_F(FencedSink, AFolderThatWasLeftOpenIsClosed) {
  fs::permissions(store_.root() / "chats", fs::perms::owner_write, fs::perm_options::add);
  EXPECT_THAT(open_folders(), testing::ElementsAre("chats"));
  store_.sink()->applied();
  EXPECT_THAT(open_folders(), testing::IsEmpty());
}

// A record of a new group, say. One in the other, since the first takes its mode from the fence.
TEST_F(FencedSink, NewFoldersAreMadeByTheirOwner) {
  const Ending end = as_owner(store_.folder(), [&] {
    std::string_view path = "new/deeper/a.json";
    return open_folder_of(store_.root(), path, FolderUse::kMake) ? 0 : 1;
  });
  EXPECT_EQ(end.code, 0);
  EXPECT_TRUE(fs::is_directory(store_.root() / "new" / "deeper"));
  EXPECT_THAT(open_folders(), testing::IsEmpty());
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
