// Lets a flip keep every comparison from reading while it holds its locks: a read of files takes
// turns with the pump and with the gate, and any read costs the time that writers wait. Every
// function may be called by any thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "state/ports/row_reader.h"

namespace switchback {

class ReadHold {
 public:
  /// Whoever begins to read waits from now on until release(); waits a moment for those who read.
  void hold();
  void release();

  /// A reader whose reads all wait. The hold outlives it.
  std::unique_ptr<RowReader> guard(std::unique_ptr<RowReader> reader);

 private:
  friend class HeldReader;
  void begin();
  void end();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int reading_ = 0;
};

}  // namespace switchback
