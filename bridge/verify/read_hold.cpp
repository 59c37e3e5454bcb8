#include "bridge/verify/read_hold.h"

#include <chrono>
#include <utility>
#include <vector>

namespace switchback {
namespace {

constexpr std::chrono::milliseconds kWaitForReads{100};

}  // namespace

class HeldReader final : public RowReader {
 public:
  HeldReader(ReadHold& hold, std::unique_ptr<RowReader> reader)
      : hold_(hold), reader_(std::move(reader)) {}

  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override {
    const Reading reading(hold_);
    return reader_->scan(table, cursor, out);
  }
  Window fetch(TableId table, const Chunk& keys, Chunk& out) override {
    const Reading reading(hold_);
    return reader_->fetch(table, keys, out);
  }
  void nobody_writes() override { reader_->nobody_writes(); }
  void asked_for_applied_only() override { reader_->asked_for_applied_only(); }
  void accept_what_is_there() override { reader_->accept_what_is_there(); }
  std::vector<ScanCursor> parts(TableId table, unsigned at_most) override {
    const Reading reading(hold_);
    return reader_->parts(table, at_most);
  }
  std::uint64_t estimate(TableId table) override { return reader_->estimate(table); }

 private:
  struct Reading {
    ReadHold& hold;
    explicit Reading(ReadHold& of) : hold(of) { hold.begin(); }
    ~Reading() { hold.end(); }
  };

  ReadHold& hold_;
  const std::unique_ptr<RowReader> reader_;
};

void ReadHold::hold() {
  std::unique_lock lock(mutex_);
  held_ = true;
  changed_.wait_for(lock, kWaitForReads, [&] { return reading_ == 0; });
}

void ReadHold::release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

std::unique_ptr<RowReader> ReadHold::guard(std::unique_ptr<RowReader> reader) {
  return std::make_unique<HeldReader>(*this, std::move(reader));
}

void ReadHold::begin() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !held_; });
  ++reading_;
}

void ReadHold::end() {
  const std::lock_guard lock(mutex_);
  --reading_;
  changed_.notify_all();
}

}  // namespace switchback
