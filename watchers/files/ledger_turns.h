// Who writes to a ledger next, in the order in which they asked. SQLite gives its write lock to
// whoever tries at the right moment, so a pump that writes all the time would leave it to nobody
// else. Every function may be called by any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>

namespace switchback {

class LedgerTurns {
 public:
  /// The one of this process for that ledger, for as long as somebody holds it.
  static std::shared_ptr<LedgerTurns> of(const std::filesystem::path& ledger);

  /// Waits for its turn, and lets the next one have his when it goes. Not twice in one thread.
  class Turn {
   public:
    explicit Turn(std::shared_ptr<LedgerTurns> turns);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    const std::shared_ptr<LedgerTurns> turns_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable passed_;
  std::uint64_t next_ = 0, now_ = 0;
};

}  // namespace switchback
