// One transaction of a million rows becomes one in SQLite, in bounded memory.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/integration/reverse_line.h"

// What the sanitizer keeps of freed memory is not the program's.
// NOLINTNEXTLINE: the name is the sanitizer's
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "quarantine_size_mb=1";
}

namespace switchback {
namespace {

/// In KiB; of this process, which is the program's pump, source and sink.
long most_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
  }
  return -1;
}

TEST(HugeTransaction, AMillionRowsInBoundedMemory) {
  constexpr long kMostKib = 128 * 1024;
  test::ReverseLine line;
  line.write("INSERT INTO public.item VALUES (0, 'a', 'b', 1)");
  line.drain();
  const long before = most_memory();
  line.write(
      "BEGIN; INSERT INTO public.item SELECT i, 'row ' || i, repeat('x', 100), i FROM "
      "generate_series(1, 1000000) i; UPDATE public.item SET n = 0 WHERE id % 10 = 0; COMMIT");
  line.drain(std::chrono::seconds(600));
  EXPECT_EQ(line.sqlite("SELECT count(*) || ' ' || sum(id) || ' ' || sum(n) FROM item"),
            line.postgres("SELECT count(*) || ' ' || sum(id) || ' ' || sum(n) FROM public.item"));
  EXPECT_LT(most_memory() - before, kMostKib);
}

}  // namespace
}  // namespace switchback
