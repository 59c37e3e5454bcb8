#include "watchers/files/gate_paths.h"

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

std::vector<Obstacle> GatePaths::held_all_along(Deadline deadline) const {
  auto held = locks();
  auto written = files();
  for (;;) {
    std::erase_if(held, [](const fs::path& path) { return !AppLocks::held(path); });
    std::erase_if(written, [](const fs::path& path) {
      return open_for_writing(path) != OpenForWriting::kYes;
    });
    if ((held.empty() && written.empty()) || deadline.passed()) break;
    ::poll(nullptr, 0, kBetweenLooksMs);
  }
  std::vector<Obstacle> found;
  for (const fs::path& path : held) {
    found.push_back({"somebody holds the lock " + path.string(),
                     "let the application finish, or remove the lock if nobody runs"});
  }
  for (const fs::path& path : written) {
    found.push_back({path.string() + " is open for writing",
                     "stop the process that holds it: `fuser -v " + path.string() + "` names it"});
  }
  return found;
}

}  // namespace switchback
