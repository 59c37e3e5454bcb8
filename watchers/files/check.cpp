#include "watchers/files/check.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "state/base/error.h"
#include "watchers/files/file_read.h"
#include "watchers/files/gate_paths.h"
#include "watchers/files/layout.h"
#include "watchers/files/scan.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

using Level = Finding::Level;

void check_contents(const Collection& collection, const std::string& path,
                    std::vector<Finding>& found) {
  try {
    const ReadResult read = read_store_file(collection.root, path);
    if (read.outcome != ReadOutcome::kRead) return;
    divide(read.file.bytes, collection.records, (collection.root / path).string());
  } catch (const Error& error) {
    found.push_back({Level::kFailure, error.message(), "repair the file"});
  }
}

void check_collection(const Collection& collection, std::vector<Finding>& found) {
  std::error_code code;
  if (!std::filesystem::is_directory(collection.root, code)) {
    found.push_back({Level::kWarning,
                     fmt::format("{} is not there (yet)", collection.root.string()),
                     "start the application once, or correct the path"});
    return;
  }
  const auto files = list_files(collection);
  for (const std::string& path : files) {
    check_contents(collection, path, found);
    const std::string name = (collection.root / path).string();
    if (open_for_writing(name) == OpenForWriting::kCannotTell) {
      found.push_back({Level::kWarning,
                       name + ": whether somebody has it open cannot be told on this file system "
                              "or by this user",
                       "stop the application for the time of a flip"});
    }
  }
  if (collection.lock.empty()) {
    found.push_back({Level::kWarning,
                     fmt::format("{}: the application's writes cannot be held off during a flip, "
                                 "only be seen; a write in that moment makes the flip start over",
                                 collection.name),
                     "name its lock file (lock = …), or stop it for the time of a flip"});
  }
  found.push_back(
      {Level::kOk,
       fmt::format("{}: {} files in {}", collection.name, files.size(), collection.root.string()),
       ""});
}

void check_fence(const GatePaths& paths, std::vector<Finding>& found) {
  const GateCheck rights = paths.rights();
  found.push_back(
      {rights.ok ? Level::kOk : Level::kFailure, rights.name + ": " + rights.value, rights.cure});
}

}  // namespace

std::vector<Finding> check_files(const Mapping& mapping,
                                 const std::shared_ptr<const DocumentMap>& documents) {
  std::vector<Finding> found;
  for (const Collection& collection : documents->collections) check_collection(collection, found);
  std::set<std::string> groups;
  for (const TableMap& table : mapping.tables) groups.insert(table.group);
  for (const std::string& group : groups) check_fence({mapping, documents, group}, found);
  found.push_back({Level::kWarning,
                   "read-only files keep out neither root nor a program that changes their mode",
                   "run the application as a user of its own"});
  return found;
}

}  // namespace switchback
