// Closes or opens the gate of the store of files in the folder given, and may die on the way at a
// failpoint.
#include <chrono>
#include <filesystem>
#include <string>

#include "state/base/error.h"
#include "tests/watchers/files/gate_store.h"
#include "watchers/files/gate.h"

int main(int argc, char** argv) {
  using namespace switchback;
  if (argc != 3) return 2;
  const std::filesystem::path folder = argv[1];
  LensText text(kGateCollection, kGateTables);
  text.documents()->collections.front().root = folder / "data";
  const auto gate =
      open_files_gate(text.mapping_pointer(), text.documents(), folder / "files.db", "all");
  const Deadline soon = Deadline::in(std::chrono::seconds(10));
  if (argv[2] == std::string("open")) {
    gate->open(3, {});
    return 0;
  }
  return gate->lock(soon) && gate->close(2, soon) ? 0 : 4;
}
