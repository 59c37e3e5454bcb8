#include "state/base/failpoint.h"

#include "state/base/failpoint_names.h"

#ifdef SWITCHBACK_TEST_BUILD
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "state/base/error.h"
#endif

namespace switchback {

std::span<const std::string_view> failpoint_names() noexcept {
  return kFailpointNames;
}

#ifdef SWITCHBACK_TEST_BUILD
namespace {

enum class Action { kCrash, kPower, kError, kHold };

struct Armed {
  Action action;
  int hits_left;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, Armed, std::less<>> armed;
  std::set<std::string, std::less<>> hit;
  std::vector<std::function<void()>> forget;
  std::string log_path;
};

[[noreturn]] void die(std::string_view why, std::string_view name) {
  std::fprintf(stderr, "failpoint: %.*s: %.*s\n", static_cast<int>(why.size()), why.data(),
               static_cast<int>(name.size()), name.data());
  std::abort();
}

void arm(Registry& registry, std::string_view entry) {
  const auto equals = entry.find('=');
  if (equals == entry.npos) die("expected name=action", entry);
  const std::string name(entry.substr(0, equals));
  auto action = entry.substr(equals + 1);
  int hits = 1;
  if (const auto at = action.find('@'); at != action.npos) {
    hits = std::atoi(std::string(action.substr(at + 1)).c_str());
    action = action.substr(0, at);
  }
  static const std::map<std::string_view, Action> kActions = {{"crash", Action::kCrash},
                                                              {"power", Action::kPower},
                                                              {"error", Action::kError},
                                                              {"hold", Action::kHold}};
  const auto found = kActions.find(action);
  if (found == kActions.end()) die("unknown action", entry);
  registry.armed[name] = {found->second, hits};
}

// The only process-wide state of the project: a failpoint must be reachable from any depth without
// being handed down through every constructor, and exists in test builds alone.
Registry& registry() {
  static Registry* const instance = [] {
    auto made = std::make_unique<Registry>();
    if (const char* log = std::getenv("SWITCHBACK_FAILPOINT_LOG")) made->log_path = log;
    const char* spec = std::getenv("SWITCHBACK_FAILPOINT");
    std::string_view rest = spec ? spec : "";
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      arm(*made, rest.substr(0, comma));
      rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    }
    return made.release();
  }();
  return *instance;
}

void log_hit(const std::string& path, std::string_view name) {
  if (path.empty()) return;
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return;
  const std::string line = std::string(name) + "\n";
  [[maybe_unused]] const auto written = ::write(fd, line.data(), line.size());
  ::close(fd);
}

[[noreturn]] void end_process() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

thread_local int passed_over = 0;

}  // namespace

NoFailpoints::NoFailpoints() {
  ++passed_over;
}
NoFailpoints::~NoFailpoints() {
  --passed_over;
}

void failpoint(std::string_view name) {
  if (passed_over != 0) return;
  Registry& all = registry();
  std::unique_lock lock(all.mutex);
  bool known = false;
  for (const auto registered : kFailpointNames) known = known || registered == name;
  if (!known) die("not in state/base/failpoint_names.h", name);
  if (all.hit.emplace(name).second) log_hit(all.log_path, name);
  const auto armed = all.armed.find(name);
  if (armed == all.armed.end() || --armed->second.hits_left != 0) return;
  switch (armed->second.action) {
    case Action::kPower:
      // The lock stays held: no other thread passes a durable step while the power fails.
      for (const auto& forget : all.forget) forget();
      end_process();
    case Action::kCrash:
      end_process();
    case Action::kError:
      lock.unlock();
      throw Error(ErrorKind::kDisk, Retry::kLater, "failpoint " + std::string(name));
    case Action::kHold:
      lock.unlock();
      for (;;) ::pause();
  }
}

void on_power_loss(std::function<void()> forget_unsynced) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.forget.push_back(std::move(forget_unsynced));
}
#else
void on_power_loss(std::function<void()>) {}
#endif

}  // namespace switchback
