#include "watchers/files/gate_paths.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <set>

#include "watchers/files/app_locks.h"
#include "watchers/files/scan.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

constexpr int kBetweenLooksMs = 5;

}  // namespace

GatePaths::GatePaths(const Mapping& mapping, std::shared_ptr<const DocumentMap> documents,
                     const std::string& group)
    : documents_(std::move(documents)) {
  for (std::uint16_t i = 0; i < documents_->collections.size(); ++i) {
    const auto& tables = documents_->collections[i].tables;
    const bool ours = std::any_of(tables.begin(), tables.end(), [&](const TableSource& source) {
      return mapping.table(source.table).group == group;
    });
    if (ours) collections_.push_back(i);
  }
}

std::vector<fs::path> GatePaths::files() const {
  std::set<fs::path> found;
  for (const std::uint16_t number : collections_) {
    const Collection& collection = documents_->collections[number];
    for (const std::string& path : list_files(collection)) found.insert(collection.root / path);
  }
  return {found.begin(), found.end()};
}

std::vector<fs::path> GatePaths::locks() const {
  std::set<fs::path> found;
  for (const std::uint16_t number : collections_) {
    const Collection& collection = documents_->collections[number];
    if (collection.lock.empty()) continue;
    // One lock for all of them may be there before any file is.
    if (collection.lock.find("{path}") == std::string::npos) {
      found.insert(collection.root / collection.lock);
      continue;
    }
    for (const std::string& path : list_files(collection)) {
      found.insert(collection.root / beside(collection.lock, path));
    }
  }
  return {found.begin(), found.end()};
}

// Folders stay as they are where groups share the store: another group's files may be in them. A
// folder that holds no file yet may get its first one.
std::vector<fs::path> GatePaths::to_fence() const {
  std::vector<fs::path> found = files();
  std::set<fs::path> folders;
  for (const std::uint16_t number : collections_) {
    const Collection& collection = documents_->collections[number];
    if (!collection.keep_copy.empty()) {
      for (const std::string& path : list_files(collection)) {
        found.push_back(collection.root / beside(collection.keep_copy, path));
      }
    }
    if (!has_all()) continue;
    for (const std::string& folder : list_folders(collection)) {
      folders.insert(folder.empty() ? collection.root : collection.root / folder);
    }
  }
  found.insert(found.end(), folders.rbegin(), folders.rend());
  return found;
}

bool GatePaths::is_ours(const fs::path& path) const {
  if (has_all()) return true;
  return std::any_of(collections_.begin(), collections_.end(), [&](std::uint16_t number) {
    const Collection& collection = documents_->collections[number];
    const std::string below = path.lexically_relative(collection.root).string();
    if (takes_file(collection, below)) return true;
    if (collection.keep_copy.empty()) return false;
    const auto files = list_files(collection);
    return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
      return beside(collection.keep_copy, file) == below;
    });
  });
}

std::vector<GateCheck> GatePaths::held_all_along(Deadline deadline) const {
  auto held = locks();
  auto written = files();
  const std::size_t all_locks = held.size();
  const std::size_t all_files = written.size();
  for (;;) {
    std::erase_if(held, [](const fs::path& path) { return !AppLocks::held(path); });
    std::erase_if(written, [](const fs::path& path) {
      return open_for_writing(path) != OpenForWriting::kYes;
    });
    if ((held.empty() && written.empty()) || deadline.passed()) break;
    ::poll(nullptr, 0, kBetweenLooksMs);
  }
  const char* const limit = "none for 0.5 s";
  std::vector<GateCheck> found;
  for (const fs::path& path : held) {
    found.push_back({"application's locks", "somebody holds the lock " + path.string(), limit,
                     false, "let the application finish, or remove the lock if nobody runs"});
  }
  if (held.empty()) {
    found.push_back({"application's locks", fmt::format("0 of {} are held", all_locks), limit});
  }
  for (const fs::path& path : written) {
    found.push_back({"open files", path.string() + " is open for writing", limit, false,
                     "stop the process that holds it: `fuser -v " + path.string() + "` names it"});
  }
  if (written.empty()) {
    found.push_back({"open files", fmt::format("0 of {} are open for writing", all_files), limit});
  }
  return found;
}

GateCheck GatePaths::rights() const {
  const auto fenced = to_fence();
  std::vector<std::string> beyond;
  for (const fs::path& path : fenced) {
    if (!may_fence(path)) beyond.push_back(path.string());
  }
  GateCheck check{"write bits",
                  fmt::format("{} files and folders are ours to fence", fenced.size()),
                  "all are ours to fence"};
  if (beyond.empty()) return check;
  check.ok = false;
  check.value = fmt::format(
      "{} belongs to another user{}, and only its owner or root may take its "
      "write bits, which is the fence",
      beyond.front(),
      beyond.size() == 1 ? "" : fmt::format(", as do {} others", beyond.size() - 1));
  check.cure = "run switchback as the owner of the application's files, or as root";
  return check;
}

std::vector<GateCheck> GatePaths::cannot_be_proven() const {
  std::vector<GateCheck> found;
  const auto doubt = [&](std::string name, std::string value, std::string limit) {
    found.push_back({std::move(name), std::move(value), std::move(limit), true, "", true});
  };
  for (const std::uint16_t number : collections_) {
    const Collection& collection = documents_->collections[number];
    if (!collection.lock.empty()) continue;
    doubt(
        "lock file",
        fmt::format("{} names none: its writers cannot be held off, only be seen", collection.name),
        "named, or the application stopped");
  }
  const auto all = files();
  const auto unknown =
      static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const fs::path& path) {
        return open_for_writing(path) == OpenForWriting::kCannotTell;
      }));
  if (unknown != 0) {
    doubt("writers",
          fmt::format("of {} files it cannot be told whether somebody has them open", unknown),
          "known, or the application stopped");
  }
  return found;
}

}  // namespace switchback
