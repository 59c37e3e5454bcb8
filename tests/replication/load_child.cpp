// The process that dies in a load: loads many rows into the database that its argument names, and
// runs into the failpoint that the environment has armed.
#include "replication/load.h"
#include "tests/replication/load_rows.h"

int main(int argc, char** argv) {
  using namespace switchback;
  if (argc != 2) return 2;
  const Rows rows = many_rows();
  InitialLoad load({.conninfo = argv[1],
                    .store = "app",
                    .mapping = test_mapping(),
                    .drop_constraints = true,
                    .make_reader = [&] { return std::make_unique<MemoryReader>(rows, 500, 0); },
                    .progress = {}});
  if (load.step() == LoadStep::kCopy) load.copy({});
  if (load.step() == LoadStep::kKeys) load.build_keys();
  if (load.step() == LoadStep::kCatchUp) load.caught_up();
  if (load.step() == LoadStep::kRest) load.build_rest({});
  return 0;
}
