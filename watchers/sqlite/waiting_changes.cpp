#include "watchers/sqlite/waiting_changes.h"

#include <algorithm>

#include "state/model/copy_change.h"

namespace switchback {

bool WaitingChanges::any_of(const std::vector<RowName>& rows) const {
  if (lines_.empty()) return false;
  return std::any_of(rows.begin(), rows.end(),
                     [&](const RowName& row) { return lines_.contains(row); });
}

std::set<std::uint32_t> WaitingChanges::first_of_rows() const {
  std::set<std::uint32_t> first;
  for (std::size_t at = 0; at < list_.size(); ++at) {
    if (is_first(at)) first.insert(list_[at].change);
  }
  return first;
}

std::set<std::uint32_t> WaitingChanges::all() const {
  std::set<std::uint32_t> changes;
  for (const One& one : list_) changes.insert(one.change);
  return changes;
}

void WaitingChanges::add(const Chunk& chunk, const Change& change, std::uint16_t key_width,
                         std::vector<RowName> rows, std::string reason) {
  copy_change(chunk, change, key_width, kept_);
  for (const RowName& row : rows) lines_[row].push_back(list_.size());
  list_.push_back({static_cast<std::uint32_t>(kept_.changes().size() - 1), std::move(rows),
                   std::move(reason), false});
}

void WaitingChanges::drop(TableId table) {
  if (list_.empty()) return;
  std::erase_if(list_, [&](const One& one) { return change(one).table == table; });
  line_up();
}

void WaitingChanges::restore(std::vector<One> list) {
  list_ = std::move(list);
  line_up();
}

void WaitingChanges::clear() {
  kept_.clear();
  list_.clear();
  lines_.clear();
}

void WaitingChanges::line_up() {
  lines_.clear();
  for (std::size_t i = 0; i < list_.size(); ++i) {
    for (const RowName& row : list_[i].rows) lines_[row].push_back(i);
  }
}

bool WaitingChanges::is_first(std::size_t at) const {
  const auto& rows = list_[at].rows;
  return std::all_of(rows.begin(), rows.end(),
                     [&](const RowName& row) { return lines_.at(row).front() == at; });
}

void WaitingChanges::try_again(const Try& attempt) {
  bool forward = true;
  while (!list_.empty() && walk(forward, attempt)) forward = !forward;
}

bool WaitingChanges::walk(bool forward, const Try& attempt) {
  bool moved = false;
  for (std::size_t n = 0; n < list_.size(); ++n) {
    const std::size_t at = forward ? n : list_.size() - 1 - n;
    One& one = list_[at];
    if (!is_first(at)) continue;
    if (auto reason = attempt(change(one))) {
      one.reason = std::move(*reason);
      continue;
    }
    one.gone = moved = true;
    for (const RowName& row : one.rows) lines_.at(row).pop_front();
  }
  std::erase_if(list_, [](const One& one) { return one.gone; });
  line_up();
  return moved;
}

}  // namespace switchback
