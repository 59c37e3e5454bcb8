#include "bridge/waiting_orphans.h"

namespace switchback {
namespace {

using ByKey = std::unordered_map<std::uint64_t, std::set<RowName>>;

void take_out(const std::vector<std::uint64_t>& keys, const RowName& name, ByKey& of) {
  for (const std::uint64_t key : keys) {
    const auto at = of.find(key);
    if (at == of.end()) continue;
    at->second.erase(name);
    if (at->second.empty()) of.erase(at);
  }
}

}  // namespace

void WaitingOrphans::wait(const RowName& name, std::vector<std::uint64_t> needs,
                          std::vector<std::uint64_t> offers) {
  forget(name);
  for (const std::uint64_t key : needs) needed_[key].insert(name);
  for (const std::uint64_t key : offers) offered_[key].insert(name);
  rows_[name] = {std::move(needs), std::move(offers)};
}

void WaitingOrphans::forget(const RowName& name) {
  const auto row = rows_.find(name);
  if (row == rows_.end()) return;
  take_out(row->second.needs, name, needed_);
  take_out(row->second.offers, name, offered_);
  rows_.erase(row);
}

std::vector<RowName> WaitingOrphans::waiting_for(std::uint64_t key) const {
  const auto at = needed_.find(key);
  if (at == needed_.end()) return {};
  return {at->second.begin(), at->second.end()};
}

std::set<RowName> WaitingOrphans::circle_of(const RowName& name, std::size_t most) const {
  std::set<RowName> reached;
  std::vector<RowName> to_ask{name};
  while (!to_ask.empty() && reached.size() <= most) {
    const auto row = rows_.find(to_ask.back());
    to_ask.pop_back();
    if (row == rows_.end()) continue;
    for (const std::uint64_t key : row->second.needs) {
      const auto parents = offered_.find(key);
      if (parents == offered_.end()) continue;
      for (const RowName& parent : parents->second) {
        if (reached.insert(parent).second) to_ask.push_back(parent);
      }
    }
  }
  // Reached again from itself, or it only hangs on others.
  if (!reached.contains(name) || reached.size() > most) return {};
  return reached;
}

}  // namespace switchback
