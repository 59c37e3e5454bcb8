// One look at all files of a store: which changed since the ledger last knew them, and what that
// means in rows. Events are only hints, so a scan is right whatever was missed; a full one hashes
// every file, a hinted one only those named and those whose stamp differs. A file that is half
// written, emptied or no JSON is left as the ledger knows it and reported. Used by the source's
// thread and, under a flip's lock, by the gate.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "state/base/error.h"
#include "state/model/chunk.h"
#include "watchers/files/ledger.h"
#include "watchers/files/lens.h"

namespace switchback {

/// A file that could not be taken; its rows stay as they were.
struct UnreadableFile {
  std::string path;
  Error why;  // with line, column and pointer, if it is not JSON
  bool held;  // it would delete more than half of its records and more than three
};

struct ScanResult {
  bool changed = false;  // something was staged in the ledger
  Position staged;
  std::vector<UnreadableFile> unreadable;
};

class FileScan {
 public:
  FileScan(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
           FilesLedger& ledger);
  ~FileScan();

  /// Looks at every file whose stamp differs from the ledger's or that is in `hinted` (paths with
  /// their collection's root); with `all` reads and hashes each. Calls `give` with changes in an
  /// order valid to apply (tables by rank), then stages the generation.
  ScanResult run(const std::set<std::string>& hinted, bool all,
                 const std::function<void(Chunk&)>& give);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace switchback
