// What the receiving thread hands to the pump's thread: messages of the replication stream, many to
// a packet, in order, limited in bytes. The receiver never waits here (it must go on answering the
// server): it looks at has_room() and polls receiver_wake(). Thread-safe between one receiver, one
// consumer and any number of callers of wake().
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "replication/lsn.h"
#include "state/base/deadline.h"
#include "state/base/wake.h"

namespace switchback {

/// One thing that came: a message of pgoutput, or a keepalive that says how far the server has
/// sent.
struct StreamItem {
  enum class Sort : std::uint8_t {
    kMessage,
    kKeepalive,
    kUrgentKeepalive,  // the server waits for an answer: it may want to shut down
  };
  Sort sort = Sort::kMessage;
  std::string_view message;
  Lsn wal_end;
};

class Packet {
 public:
  void add_message(std::string_view message);
  void add_keepalive(Lsn wal_end, bool urgent);
  /// The next item, or nullopt after the last. Its view lives as long as the packet is left alone.
  std::optional<StreamItem> next();

  std::size_t bytes() const { return bytes_.size(); }
  /// Rows and truncates among the messages.
  std::uint64_t changes() const { return changes_; }
  Deadline::Clock::time_point received{};

 private:
  void add(StreamItem::Sort sort, std::string_view body);

  std::string bytes_;
  std::size_t read_ = 0;
  std::uint64_t changes_ = 0;
};

class PacketQueue {
 public:
  static constexpr std::size_t kLimitBytes = std::size_t{8} << 20;

  // The receiver.
  bool has_room() const;
  void push(Packet packet);
  /// The stream has ended; the consumer learns of it once it has taken everything before.
  void fail(std::exception_ptr why);
  Wake& receiver_wake() { return receiver_wake_; }

  // The consumer.
  /// Empties it for a new stream. No receiver may be running.
  void reset();
  /// False if there is nothing now. Throws what the stream ended with.
  bool take(Packet& out);
  /// Until there is something to take, the deadline, a stop or wake(): true only for the first.
  bool wait(Deadline deadline, std::stop_token stop);
  std::uint64_t changes() const;
  std::optional<Deadline::Clock::time_point> oldest() const;

  /// Any thread.
  void wake() noexcept;

 private:
  mutable std::mutex mutex_;
  std::condition_variable_any arrived_;
  std::deque<Packet> packets_;  // guarded by mutex_
  std::size_t bytes_ = 0;       // guarded by mutex_
  std::uint64_t changes_ = 0;   // guarded by mutex_
  std::exception_ptr failure_;  // guarded by mutex_
  bool woken_ = false;          // guarded by mutex_
  Wake receiver_wake_;
};

}  // namespace switchback
