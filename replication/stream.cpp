#include "replication/stream.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <utility>

#include "replication/wire.h"
#include "state/base/failpoint.h"
#include "state/base/sql_quote.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;

// Well below the wal_sender_timeout that the session pins: while our queue is full, the server's
// own question whether we still live waits behind the data.
constexpr milliseconds kStatusAtLeastEvery{5'000};
// An acknowledgement may wait this long for the next ones to join it: each status can make the
// server write its slot to disk.
constexpr milliseconds kStatusAtMostEvery{100};
constexpr std::size_t kPacketBytes = std::size_t{64} << 10;

struct CopyDeleter {
  void operator()(char* buffer) const noexcept { PQfreemem(buffer); }
};

// Values that travel as text must not depend on the server's or the role's defaults.
constexpr std::array kSessionSettings = {
    "SET TimeZone = 'UTC'",       "SET DateStyle = 'ISO, YMD'", "SET IntervalStyle = 'iso_8601'",
    "SET extra_float_digits = 3", "SET bytea_output = 'hex'",   "SET wal_sender_timeout = '60s'",
    "SET statement_timeout = 0"};

std::uint64_t server_clock() {
  // PostgreSQL counts microseconds from 2000-01-01.
  constexpr std::int64_t kEpochSeconds = 946'684'800;
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count();
  return static_cast<std::uint64_t>(micros - kEpochSeconds * 1'000'000);
}

void raise_to(std::atomic<std::uint64_t>& value, Lsn lsn) noexcept {
  std::uint64_t now = value.load(std::memory_order_relaxed);
  while (now < lsn.value && !value.compare_exchange_weak(now, lsn.value)) {
  }
}

}  // namespace

ReplicationStream::ReplicationStream(Connection replication, const StreamOptions& options,
                                     PacketQueue& queue)
    : connection_(std::move(replication)), queue_(queue) {
  for (const char* setting : kSessionSettings) connection_.exec(setting);
  connection_.exec(
      fmt::format("START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {},"
                  " binary '{}', messages 'true')",
                  quote_identifier(options.slot), to_string(options.start),
                  quote_literal(quote_identifier(options.publication)), options.binary));
  if (PQsetnonblocking(connection_.raw(), 1) != 0) {
    throw_postgres_error(connection_.raw(), nullptr, "START_REPLICATION");
  }
  last_status_ = Deadline::Clock::now();
  thread_ = std::jthread([this](const std::stop_token& stop) {
    pthread_setname_np(pthread_self(), "pg-receive");
    run(stop);
  });
}

void ReplicationStream::acknowledge(Lsn durable) noexcept {
  raise_to(acknowledged_, durable);
  queue_.receiver_wake().set();
}

void ReplicationStream::run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { queue_.receiver_wake().set(); });
  try {
    receive_until(stop);
    if (acknowledged_.load() > confirmed_.value) send_status();
  } catch (...) {
    queue_.fail(std::current_exception());
  }
}

void ReplicationStream::receive_until(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    drain_received();
    if (status_due()) send_status();
    flush();
    wait_for_more();
  }
}

// Queues what libpq already holds, as long as there is room.
void ReplicationStream::drain_received() {
  while (queue_.has_room()) {
    char* raw = nullptr;
    const int size = PQgetCopyData(connection_.raw(), &raw, 1);
    const std::unique_ptr<char, CopyDeleter> buffer(raw);
    if (size > 0) take({raw, static_cast<std::size_t>(size)});
    if (size <= 0 || packet_.bytes() >= kPacketBytes) {
      if (packet_.bytes() != 0) queue_.push(std::exchange(packet_, Packet()));
    }
    if (size == 0) return;
    if (size < 0) throw_ended();
  }
}

void ReplicationStream::take(std::string_view data) {
  constexpr std::size_t kDataHeader = 1 + 8 + 8 + 8;  // 'w', start, end of WAL, time
  constexpr std::size_t kKeepalive = 1 + 8 + 8 + 1;   // 'k', end of WAL, time, answer wanted
  if (data.front() == 'w' && data.size() >= kDataHeader) {
    received_ = std::max(received_, Lsn{read_big_endian<std::uint64_t>(data.substr(1))});
    raise_to(server_end_, Lsn{read_big_endian<std::uint64_t>(data.substr(9))});
    packet_.add_message(data.substr(kDataHeader));
    return;
  }
  if (data.front() == 'k' && data.size() == kKeepalive) {
    const Lsn wal_end{read_big_endian<std::uint64_t>(data.substr(1))};
    received_ = std::max(received_, wal_end);
    raise_to(server_end_, wal_end);
    const bool urgent = data.back() != 0;
    answer_wanted_ = answer_wanted_ || urgent;
    packet_.add_keepalive(wal_end, urgent);
    return;
  }
  throw Error(ErrorKind::kInternal, Retry::kNever,
              fmt::format("a replication packet of unknown kind 0x{:02x} or length {}",
                          static_cast<unsigned char>(data.front()), data.size()),
              {.object = "PostgreSQL"});
}

void ReplicationStream::wait_for_more() {
  const auto now = Deadline::Clock::now();
  const bool news = acknowledged_.load() > confirmed_.value;
  const Deadline next(last_status_ + (news ? kStatusAtMostEvery : kStatusAtLeastEvery));
  std::array<pollfd, 2> polled{};
  polled[0] = {queue_.receiver_wake().fd(), POLLIN, 0};
  polled[1] = {PQsocket(connection_.raw()), 0, 0};
  if (queue_.has_room()) polled[1].events |= POLLIN;
  if (output_pending_) polled[1].events |= POLLOUT;
  // With no event of interest the socket is left out: a hang-up would make poll() spin.
  const nfds_t count = polled[1].events == 0 ? 1 : 2;
  const int timeout = next.at() <= now ? 0 : static_cast<int>(next.remaining().count());
  if (::poll(polled.data(), count, timeout) <= 0) return;
  if (polled[0].revents != 0) queue_.receiver_wake().clear();
  if ((polled[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
      PQconsumeInput(connection_.raw()) == 0) {
    throw_postgres_error(connection_.raw(), nullptr, "receiving changes");
  }
}

void ReplicationStream::flush() {
  const int left = PQflush(connection_.raw());
  if (left < 0) throw_postgres_error(connection_.raw(), nullptr, "sending a status");
  output_pending_ = left > 0;
}

bool ReplicationStream::status_due() const {
  if (answer_wanted_) return true;
  const auto since = Deadline::Clock::now() - last_status_;
  if (since >= kStatusAtLeastEvery) return true;
  return acknowledged_.load() > confirmed_.value && since >= kStatusAtMostEvery;
}

void ReplicationStream::send_status() {
  const Lsn durable{acknowledged_.load()};
  std::string status = "r";
  append_big_endian(status, std::max(received_, durable).value);
  append_big_endian(status, durable.value);  // flushed: what the slot will never send again
  append_big_endian(status, durable.value);
  append_big_endian(status, server_clock());
  status += '\0';
  failpoint("pg.feedback.before");
  const int sent = PQputCopyData(connection_.raw(), status.data(), static_cast<int>(status.size()));
  if (sent < 0) throw_postgres_error(connection_.raw(), nullptr, "sending a status");
  // Not sent for want of buffer space: the next round tries again.
  if (sent == 0) return;
  flush();
  failpoint("pg.feedback.after");
  confirmed_ = durable;
  answer_wanted_ = false;
  last_status_ = Deadline::Clock::now();
}

void ReplicationStream::throw_ended() {
  const Result result(PQgetResult(connection_.raw()));
  const auto status = PQresultStatus(result.get());
  if (result.get() == nullptr || status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
      status == PGRES_COPY_IN || status == PGRES_COPY_BOTH) {
    throw Error(ErrorKind::kUnreachable, Retry::kLater, "the server ended the replication stream",
                {.object = "PostgreSQL"});
  }
  throw_postgres_error(connection_.raw(), result.get(), "receiving changes");
}

}  // namespace switchback
