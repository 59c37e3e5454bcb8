// Which paths of a store the gate of one group has to do with: the files, the folders that new ones
// could be made in, the application's locks. They are looked for anew at each call, since
// applications make files all the time. Part of the gate. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "state/model/document_map.h"
#include "state/model/table_map.h"
#include "state/ports/write_gate.h"

namespace switchback {

class GatePaths {
 public:
  GatePaths(const Mapping& mapping, std::shared_ptr<const DocumentMap> documents,
            const std::string& group);

  /// The numbers of the group's collections.
  const std::vector<std::uint16_t>& collections() const { return collections_; }
  /// The group's files, absolute. All of these throw Error(kDisk).
  std::vector<std::filesystem::path> files() const;
  /// The locks that the configuration names, whether they are there or not.
  std::vector<std::filesystem::path> locks() const;
  /// What the fence has to take the write bits of: files before the folders they are in.
  std::vector<std::filesystem::path> to_fence() const;
  /// Whether a fenced path is this group's.
  bool is_ours(const std::filesystem::path& path) const;

  /// Locks that somebody holds and files that somebody has open for writing, at every look until
  /// the deadline: an application at work does so for moments all the time. Returns as soon as
  /// each of them was seen free once.
  std::vector<GateCheck> held_all_along(Deadline deadline) const;
  /// Whether this process may take the write bits of all that the fence is made of.
  GateCheck rights() const;
  /// What no flip of these files can prove.
  std::vector<GateCheck> cannot_be_proven() const;

 private:
  bool has_all() const { return collections_.size() == documents_->collections.size(); }

  const std::shared_ptr<const DocumentMap> documents_;
  std::vector<std::uint16_t> collections_;
};

}  // namespace switchback
