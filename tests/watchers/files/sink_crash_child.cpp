// Plays one batch into the store of files in the folder given, as the sidecar would, and may die on
// the way at a failpoint. Exit codes: 0 it is in, 3 the sink threw.
#include <filesystem>

#include "state/base/error.h"
#include "tests/watchers/files/sink_crash.h"
#include "watchers/files/sink.h"

int main(int argc, char** argv) {
  using namespace switchback;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  LensText text(kCrashCollection, kCrashTables);
  text.documents()->collections.front().root = folder / "data";
  text.documents()->collections.front().keep_copy = "{path}.backup";
  const auto sink = open_files_sink(text.mapping_pointer(), text.documents(), folder / "files.db");
  try {
    sink->applied();
    fill_crash_batch(text);
    const Position position{1, 1, 1};
    text.changes.boundary = position;
    std::vector<Reject> rejects;
    sink->apply(text.changes, rejects);
    sink->commit(position, rejects);
  } catch (const Error&) {
    return 3;
  }
  return 0;
}
