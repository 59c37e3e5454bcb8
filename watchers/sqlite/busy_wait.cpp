#include "watchers/sqlite/busy_wait.h"

#include <chrono>
#include <thread>

namespace switchback {

BusyWait::BusyWait(sqlite3* database, Deadline deadline)
    : database_(database), deadline_(deadline) {
  sqlite3_busy_handler(database_, &BusyWait::wait, this);
}

BusyWait::~BusyWait() {
  sqlite3_busy_handler(database_, nullptr, nullptr);
}

int BusyWait::wait(void* self, int) {
  if (static_cast<BusyWait*>(self)->deadline_.passed()) return 0;
  std::this_thread::sleep_for(std::chrono::microseconds(500));
  return 1;
}

}  // namespace switchback
