// Planted bugs: test builds can be told by SWITCHBACK_MUTATION=NAME to get one thing wrong, so that
// the tests which are there to notice it can be seen to do so (tests/histories/test_mutations.py).
// In a release build `mutated()` is a constant false and nothing of the bugs is compiled in. Called
// where the right thing is done. Thread-safe. A name that is not in the list below ends the
// process.
#pragma once

#include <array>
#include <string_view>

namespace switchback {

/// Every bug there is.
inline constexpr std::array kMutations = std::to_array<std::string_view>({
    "no-before-trigger",       // rows that REPLACE displaces are not noted
    "collation-ignored",       // a key is compared as its column sorts it
    "nonce-ignored",           // another history's log entries pass for ours
    "position-before-sync",    // a position is acknowledged before it is durable
    "echo-kept",               // the bridge's own writes come back as changes
    "rename-as-two",           // a key change is a delete and an insert
    "unchanged-as-null",       // a value that was not sent is taken for NULL
    "cascade-left-to-server",  // children that PostgreSQL's cascade touches are not looked at
    "fence-misses-a-leaf",     // the last table stays writable
});

#ifdef SWITCHBACK_TEST_BUILD
bool mutated(std::string_view name);
#else
constexpr bool mutated(std::string_view) {
  return false;
}
#endif

}  // namespace switchback
