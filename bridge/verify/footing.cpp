#include "bridge/verify/footing.h"

namespace switchback {

Footing footing_of(const Site& site) {
  Footing now;
  for (const Side side : {Side::kOld, Side::kPostgres}) now.merge(site.of(side).standing());
  return now;
}

std::string what_moved(const Footing& before, const Footing& now,
                       const std::function<bool(const std::string&)>& counts) {
  for (const auto& [what, how] : before) {
    if (!counts(what)) continue;
    const auto at = now.find(what);
    if (at == now.end()) return what + " is gone";
    if (at->second != how) return what + " was changed";
  }
  for (const auto& [what, how] : now) {
    if (counts(what) && !before.contains(what)) return what + " is new";
  }
  return {};
}

}  // namespace switchback
