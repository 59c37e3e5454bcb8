#include "watchers/files/ledger_turns.h"

#include <map>
#include <string>
#include <utility>

namespace switchback {

std::shared_ptr<LedgerTurns> LedgerTurns::of(const std::filesystem::path& ledger) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<LedgerTurns>> all;
  const std::lock_guard lock(mutex);
  std::erase_if(all, [](const auto& one) { return one.second.expired(); });
  std::error_code code;
  const auto path = std::filesystem::weakly_canonical(ledger, code);
  auto& kept = all[(code ? ledger : path).string()];
  auto turns = kept.lock();
  if (!turns) kept = turns = std::make_shared<LedgerTurns>();
  return turns;
}

LedgerTurns::Turn::Turn(std::shared_ptr<LedgerTurns> turns) : turns_(std::move(turns)) {
  std::unique_lock lock(turns_->mutex_);
  const std::uint64_t mine = turns_->next_++;
  turns_->passed_.wait(lock, [&] { return turns_->now_ == mine; });
}

LedgerTurns::Turn::~Turn() {
  const std::lock_guard lock(turns_->mutex_);
  ++turns_->now_;
  turns_->passed_.notify_all();
}

}  // namespace switchback
