// The harnesses of the endpoints there are. A new kind of store adds its own here.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "tests/conformance/harness.h"

namespace switchback {

std::unique_ptr<Harness> make_toy_harness();
std::unique_ptr<Harness> make_sqlite_harness(bool wal);
std::unique_ptr<Harness> make_postgres_harness();
std::unique_ptr<Harness> make_files_harness();

std::vector<std::pair<const char*, MakeHarness>> all_harnesses();

/// Long enough for whatever a test waits for.
inline Deadline soon() {
  return Deadline::in(std::chrono::seconds(10));
}

}  // namespace switchback
