// Makes the sink's commits durable behind its back. In WAL mode the sink commits without a sync;
// this thread syncs the -wal file, as often as it can while there is something new, and copies the
// -wal's pages into the database before it grows without bound. A position counts as durable only
// once a sync that began after its commit has ended well. The file is synced through SQLite's own
// handle: opening it a second time would drop SQLite's locks when closed. After a failed sync
// nothing is durable any more until a new sink starts (the kernel may have forgotten what it could
// not write).
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <condition_variable>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "state/model/position.h"

namespace switchback {

class Checkpointer {
 public:
  /// Opens a connection of its own, makes what is in the -wal now durable, and starts the thread.
  /// `applied` is what the database holds. Throws Error.
  static std::unique_ptr<Checkpointer> start(const std::filesystem::path& path,
                                             const Position& applied);

  Checkpointer(SQLite::Database database, std::filesystem::path path, const Position& applied);
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // The sink's thread.
  /// `position` was committed, and the -wal has this many pages. True: the thread has copied nearly
  /// all of them, and a short checkpoint by the writer itself, now, lets the -wal begin anew.
  bool committed(const Position& position, int wal_pages);
  /// Throws the thread's error, if it met one.
  Position durable();

 private:
  void run(std::stop_token stop);
  void sync();
  void sync_folder();
  void checkpoint();

  // One thread: the constructor's, then the thread's own.
  SQLite::Database database_;
  const std::filesystem::path path_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  Position committed_;
  Position durable_;
  int wal_pages_ = 0;
  int copied_pages_ = 0;  // of the -wal as it was at the last checkpoint
  std::exception_ptr error_;

  std::jthread thread_;  // last: joined before anything it uses goes away
};

}  // namespace switchback
