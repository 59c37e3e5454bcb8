// The receiving end of logical replication: one thread that takes what the server sends, queues it,
// and tells the server how far the changes are durable on the other side. It answers also while
// the queue is full, so a slow consumer never times out. What it confirms is only what was
// acknowledged; it draws no conclusion of its own from keepalives. Made and destroyed by the
// source. https://www.postgresql.org/docs/15/protocol-replication.html
#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "replication/connection.h"
#include "replication/lsn.h"
#include "replication/packet_queue.h"

namespace switchback {

struct StreamOptions {
  std::string slot;
  std::string publication;
  Lsn start;           // the server sends what commits after it; 0/0: after what the slot confirmed
  bool binary = true;  // values in their types' binary form
};

class ReplicationStream {
 public:
  /// Begins to stream on `replication`, which it takes over, into `queue`, which must outlive it.
  /// Throws Error(kBusy) while another session streams from the slot.
  ReplicationStream(Connection replication, const StreamOptions& options, PacketQueue& queue);
  /// Confirms once more what was acknowledged and ends; waits for no answer.
  ~ReplicationStream() = default;
  ReplicationStream(const ReplicationStream&) = delete;
  ReplicationStream& operator=(const ReplicationStream&) = delete;

  /// Everything up to `durable` may be confirmed to the slot. Never goes back. Any thread.
  void acknowledge(Lsn durable) noexcept;
  /// How far the server has come, as far as it said. Any thread.
  Lsn server_end() const { return Lsn{server_end_.load(std::memory_order_relaxed)}; }

 private:
  void run(const std::stop_token& stop);
  void receive_until(const std::stop_token& stop);
  void drain_received();
  void take(std::string_view copy_data);
  void wait_for_more();
  void flush();
  bool status_due() const;
  void send_status();
  [[noreturn]] void throw_ended();

  Connection connection_;
  PacketQueue& queue_;

  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::uint64_t> server_end_{0};

  // The receiving thread only.
  Packet packet_;
  Lsn received_;
  Lsn confirmed_;  // what the last status said
  Deadline::Clock::time_point last_status_{};
  bool answer_wanted_ = false;
  bool output_pending_ = false;

  std::jthread thread_;  // last: joined before anything above goes
};

}  // namespace switchback
