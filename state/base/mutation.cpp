#include "state/base/mutation.h"

#ifdef SWITCHBACK_TEST_BUILD
#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace switchback {
namespace {

std::string_view planted() {
  static const std::string_view name = [] {
    const char* said = std::getenv("SWITCHBACK_MUTATION");
    const std::string_view wanted = said == nullptr ? "" : said;
    if (!wanted.empty() &&
        std::find(kMutations.begin(), kMutations.end(), wanted) == kMutations.end()) {
      std::fprintf(stderr, "SWITCHBACK_MUTATION=%s: no such name in state/base/mutation.h\n", said);
      std::abort();
    }
    return wanted;
  }();
  return name;
}

}  // namespace

bool mutated(std::string_view name) {
  return planted() == name;
}

}  // namespace switchback
#endif
