#include "replication/packet_queue.h"

#include <cstring>
#include <utility>

namespace switchback {
namespace {

struct ItemHeader {
  StreamItem::Sort sort;
  std::size_t size;
};

}  // namespace

void Packet::add(StreamItem::Sort sort, std::string_view body) {
  const ItemHeader header{sort, body.size()};
  const std::size_t at = bytes_.size();
  bytes_.resize(at + sizeof header);
  std::memcpy(bytes_.data() + at, &header, sizeof header);
  bytes_ += body;
}

void Packet::add_message(std::string_view message) {
  add(StreamItem::Sort::kMessage, message);
  if (message.empty()) return;
  const char kind = message.front();
  if (kind == 'I' || kind == 'U' || kind == 'D' || kind == 'T') ++changes_;
}

void Packet::add_keepalive(Lsn wal_end, bool urgent) {
  char body[sizeof wal_end.value];
  std::memcpy(body, &wal_end.value, sizeof body);
  add(urgent ? StreamItem::Sort::kUrgentKeepalive : StreamItem::Sort::kKeepalive,
      {body, sizeof body});
}

std::optional<StreamItem> Packet::next() {
  if (read_ == bytes_.size()) return std::nullopt;
  ItemHeader header{};
  std::memcpy(&header, bytes_.data() + read_, sizeof header);
  const std::string_view body(bytes_.data() + read_ + sizeof header, header.size);
  read_ += sizeof header + header.size;
  StreamItem item;
  item.sort = header.sort;
  if (item.sort == StreamItem::Sort::kMessage) {
    item.message = body;
  } else {
    std::memcpy(&item.wal_end.value, body.data(), sizeof item.wal_end.value);
  }
  return item;
}

bool PacketQueue::has_room() const {
  const std::lock_guard lock(mutex_);
  return bytes_ < kLimitBytes;
}

void PacketQueue::push(Packet packet) {
  packet.received = Deadline::Clock::now();
  const std::lock_guard lock(mutex_);
  bytes_ += packet.bytes();
  changes_ += packet.changes();
  packets_.push_back(std::move(packet));
  arrived_.notify_all();
}

void PacketQueue::fail(std::exception_ptr why) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(why);
  arrived_.notify_all();
}

void PacketQueue::reset() {
  const std::lock_guard lock(mutex_);
  packets_.clear();
  bytes_ = 0;
  changes_ = 0;
  failure_ = nullptr;
  receiver_wake_.clear();
}

bool PacketQueue::take(Packet& out) {
  const std::lock_guard lock(mutex_);
  if (packets_.empty()) {
    if (failure_) std::rethrow_exception(failure_);
    return false;
  }
  out = std::move(packets_.front());
  packets_.pop_front();
  const bool was_full = bytes_ >= kLimitBytes;
  bytes_ -= out.bytes();
  changes_ -= out.changes();
  if (was_full && bytes_ < kLimitBytes) receiver_wake_.set();
  return true;
}

bool PacketQueue::wait(Deadline deadline, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const auto ready = [&] { return !packets_.empty() || failure_ != nullptr; };
  arrived_.wait_until(lock, stop, deadline.at(), [&] { return ready() || woken_; });
  woken_ = false;
  return ready();
}

std::uint64_t PacketQueue::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

std::optional<Deadline::Clock::time_point> PacketQueue::oldest() const {
  const std::lock_guard lock(mutex_);
  if (packets_.empty()) return std::nullopt;
  return packets_.front().received;
}

void PacketQueue::wake() noexcept {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  arrived_.notify_all();
}

}  // namespace switchback
