#include "watchers/sqlite/busy_wait.h"

#include <chrono>
#include <thread>

namespace switchback {
namespace {

constexpr std::chrono::microseconds kBetweenTries{500};
constexpr int kTriesByDefault = 4000;

int wait_a_little(void*, int tries) {
  if (tries >= kTriesByDefault) return 0;
  std::this_thread::sleep_for(kBetweenTries);
  return 1;
}

}  // namespace

void wait_by_default(sqlite3* database) {
  sqlite3_busy_handler(database, wait_a_little, nullptr);
}

BusyWait::BusyWait(sqlite3* database, Deadline deadline, std::chrono::microseconds between)
    : database_(database), deadline_(deadline), between_(between) {
  sqlite3_busy_handler(database_, &BusyWait::wait, this);
}

BusyWait::~BusyWait() {
  wait_by_default(database_);
}

int BusyWait::wait(void* self, int) {
  const BusyWait& wait = *static_cast<BusyWait*>(self);
  if (wait.deadline_.passed()) return 0;
  std::this_thread::sleep_for(wait.between_);
  return 1;
}

}  // namespace switchback
