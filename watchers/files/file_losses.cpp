#include "watchers/files/file_losses.h"

#ifdef SWITCHBACK_TEST_BUILD
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>

#include "state/base/failpoint.h"

namespace switchback::file_losses {
namespace {

namespace fs = std::filesystem;

struct Contents {
  std::string bytes;
  struct stat about {};
};

/// nullopt: there is no such file.
std::optional<Contents> contents_of(const fs::path& path) {
  Contents found;
  if (::lstat(path.c_str(), &found.about) != 0) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  found.bytes.assign(std::istreambuf_iterator<char>(file), {});
  return found;
}

void put(const fs::path& path, const Contents& contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << contents.bytes;
  if (::chown(path.c_str(), contents.about.st_uid, contents.about.st_gid) != 0) return;
  ::chmod(path.c_str(), contents.about.st_mode & 07777);
  const timespec times[] = {contents.about.st_atim, contents.about.st_mtim};
  ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

struct Step {
  enum class Sort { kWritten, kNamed, kReplaced, kMode };
  Sort sort;
  fs::path path;
  fs::path from = {};                   // kReplaced: what took its place; empty: nothing did
  std::optional<Contents> before = {};  // kReplaced
  std::optional<Contents> after = {};
  mode_t mode = 0, new_mode = 0;
};

class Losses {
 public:
  explicit Losses(std::uint64_t seed) : random_(seed) {}

  void add(Step step) {
    const std::lock_guard lock(mutex_);
    steps_.push_back(std::move(step));
  }
  template <class Over>
  void forget(Over over) {
    const std::lock_guard lock(mutex_);
    steps_.remove_if(over);
  }
  template <class Change>
  void change(Change change) {
    const std::lock_guard lock(mutex_);
    for (Step& step : steps_) change(step);
  }
  // The last step first, as it was done last.
  void lose() {
    const std::lock_guard lock(mutex_);
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
      if (random_() % 2 == 0) undo(*step);
    }
  }

 private:
  off_t part_of(const struct stat& file) {
    return static_cast<off_t>(random_() % static_cast<std::uint64_t>(file.st_size + 1));
  }
  void undo(const Step& step) {
    struct stat now {};
    const bool there = ::lstat(step.path.c_str(), &now) == 0;
    switch (step.sort) {
      case Step::Sort::kWritten:
        if (!there || random_() % 2 == 0 || ::truncate(step.path.c_str(), part_of(now)) != 0) {
          ::unlink(step.path.c_str());
        }
        return;
      case Step::Sort::kNamed:
        ::unlink(step.path.c_str());
        return;
      case Step::Sort::kReplaced:
        undo_replaced(step);
        return;
      case Step::Sort::kMode:
        if (there && (now.st_mode & 07777) == step.new_mode) ::chmod(step.path.c_str(), step.mode);
        return;
    }
  }
  // Unless somebody else has written there meanwhile.
  static void undo_replaced(const Step& step) {
    const auto now = contents_of(step.path);
    const bool as_we_left = step.after ? now && now->bytes == step.after->bytes : !now;
    if (!as_we_left) return;
    if (step.after) put(step.from, *step.after);
    ::unlink(step.path.c_str());
    if (step.before) put(step.path, *step.before);
  }

  std::mutex mutex_;
  std::mt19937_64 random_;
  std::list<Step> steps_;
};

// Process-wide as the failpoints are; lives as long as the process.
std::unique_ptr<Losses>& losses() {
  static auto* const instance = std::make_unique<std::unique_ptr<Losses>>().release();
  return *instance;
}

}  // namespace

void arm() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* wanted = std::getenv("SWITCHBACK_POWER_LOSS");
    if (wanted == nullptr || std::string(wanted) != "1") return;
    const char* seed = std::getenv("SWITCHBACK_POWER_SEED");
    losses() = std::make_unique<Losses>(seed != nullptr ? std::strtoull(seed, nullptr, 10)
                                                        : std::random_device{}());
    on_power_loss([] { losses()->lose(); });
  });
}

void written(const fs::path& path) {
  if (losses()) losses()->add({.sort = Step::Sort::kWritten, .path = path});
}

void synced(const fs::path& path) {
  if (!losses()) return;
  losses()->change([&](Step& step) {
    if (step.sort == Step::Sort::kWritten && step.path == path) step.sort = Step::Sort::kNamed;
  });
}

void replacing(const fs::path& from, const fs::path& to) {
  if (!losses()) return;
  Step step{.sort = Step::Sort::kReplaced, .path = to, .from = from};
  step.before = contents_of(to);
  if (!from.empty()) step.after = contents_of(from);
  losses()->add(std::move(step));
}

void folder_synced(const fs::path& folder) {
  if (!losses()) return;
  losses()->forget([&](const Step& step) {
    const bool name_only = step.sort == Step::Sort::kNamed || step.sort == Step::Sort::kReplaced;
    return name_only && step.path.parent_path() == folder;
  });
}

void changing_mode(const fs::path& path, mode_t before, mode_t after) {
  if (!losses()) return;
  losses()->add({.sort = Step::Sort::kMode, .path = path, .mode = before, .new_mode = after});
}

void modes_synced() {
  if (!losses()) return;
  losses()->forget([&](const Step& step) { return step.sort == Step::Sort::kMode; });
}

}  // namespace switchback::file_losses
#endif
