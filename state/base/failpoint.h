// Failpoints: named places before and after every durable step, where a test makes the process
// die, fail or wait. In release builds `failpoint()` is an empty inline function. In test builds
// the environment decides:
//   SWITCHBACK_FAILPOINT=name=crash[@N]   the N-th hit (default 1) ends the process at once
//                        name=power[@N]   like crash, but first forgets what was not synced
//                        name=error[@N]   the N-th hit throws Error(kDisk, retry later)
//                        name=hold[@N]    the N-th hit waits for ever (for SIGKILL and SIGSTOP
//                        tests)
//   several are separated by commas; SWITCHBACK_FAILPOINT_LOG=FILE appends each name when first
//   hit.
// Thread-safe. An unregistered name aborts a test build, so that the registry is complete.
#pragma once

#include <functional>
#include <span>
#include <string_view>

namespace switchback {

#ifdef SWITCHBACK_TEST_BUILD
void failpoint(std::string_view name);
#else
inline void failpoint(std::string_view) {}
#endif

/// While one exists, this thread passes all failpoints: what it does is thrown away afterwards, and
/// no test means it.
class NoFailpoints {
 public:
#ifdef SWITCHBACK_TEST_BUILD
  NoFailpoints();
  ~NoFailpoints();
#else
  NoFailpoints() {}
  ~NoFailpoints() {}
#endif
  NoFailpoints(const NoFailpoints&) = delete;
  NoFailpoints& operator=(const NoFailpoints&) = delete;
};

/// Every name there is, in the order of state/base/failpoint_names.h.
std::span<const std::string_view> failpoint_names() noexcept;

/// Test builds: what a "power" failpoint calls before the process ends. The durable-file layer and
/// the SQLite shim add theirs. No effect in release builds.
void on_power_loss(std::function<void()> forget_unsynced);

}  // namespace switchback
