#include "replication/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "replication/assembler.h"
#include "replication/connection.h"
#include "replication/history.h"
#include "replication/names.h"
#include "replication/packet_queue.h"
#include "replication/slot.h"
#include "replication/stream.h"
#include "state/base/advice.h"
#include "state/base/error.h"

namespace switchback {
namespace {

using Clock = Deadline::Clock;
using std::chrono::milliseconds;

[[noreturn]] void throw_forked(const std::string& slot, const std::string& what) {
  throw Error(ErrorKind::kHistory, Retry::kNever, what,
              {.object = "slot " + slot, .sqlstate = {}, .next = kDoctorFix});
}

// Types the bridge has no binary codec for arrive in a form of their own there, which only their
// text spells in words.
bool all_binary(const Mapping& mapping, const std::string& store) {
  return std::none_of(mapping.tables.begin(), mapping.tables.end(), [&](const TableMap& table) {
    return table.flows() && table.store == store &&
           std::any_of(table.columns.begin(), table.columns.end(),
                       [](const ColumnMap& column) { return column.type == PgType::kOtherText; });
  });
}

class PostgresSource final : public ChangeSource {
 public:
  PostgresSource(PostgresSourceOptions options, std::shared_ptr<const Mapping> mapping)
      : options_(std::move(options)),
        mapping_(std::move(mapping)),
        names_(names_for(mapping_->bridge, options_.store)),
        assembler_(mapping_, options_.store) {}

  void start(const Position& applied) override;
  Pull pull(Chunk& out, Deadline deadline, std::stop_token stop) override;
  void acknowledge(const Position& durable) noexcept override;
  void compared(const Position& position) noexcept override;
  void idle() override {}
  // Nothing is held between two calls of pull(): the slot keeps what is not yet confirmed.
  void park() noexcept override {}
  Lag lag() override;
  void wake() noexcept override { queue_.wake(); }

 private:
  // How far the stream had come when a chunk was handed out, and since when it was on its way.
  struct OnItsWay {
    Lsn boundary;
    Clock::time_point since;
  };

  Connection connect(const std::string& part, ConnectionUse use) const;
  void check_history(const Position& applied, Connection& replication);
  Lsn check_slot(const Position& applied);
  void check_confirmed(const Position& applied, const SlotState& slot, Connection& sql) const;
  bool take_items(Chunk& out);
  bool take_item(const StreamItem& item, Chunk& out);
  bool position_due() const;
  void confirm() noexcept;
  Pull hand_out(Chunk& out);

  const PostgresSourceOptions options_;
  const std::shared_ptr<const Mapping> mapping_;
  const ObjectNames names_;

  std::uint64_t history_ = 0;
  PacketQueue queue_;
  Assembler assembler_;
  Packet packet_;  // what is being assembled now
  std::optional<Clock::time_point> oldest_in_chunk_;
  Lsn handed_out_;  // the last boundary
  Clock::time_point handed_out_at_{};
  bool answer_wanted_ = false;  // the server waits to hear how far we are
  Lsn acknowledged_;
  Lsn durable_;  // what of it the other side said since start()
  std::optional<Position> compared_;
  std::deque<OnItsWay> on_their_way_;

  std::unique_ptr<ReplicationStream> stream_;  // last: its thread uses the queue
};

Connection PostgresSource::connect(const std::string& part, ConnectionUse use) const {
  return Connection::open(options_.conninfo, "switchback " + mapping_->bridge + " " + part, use);
}

void PostgresSource::start(const Position& applied) {
  stream_.reset();
  queue_.reset();
  packet_ = Packet();
  on_their_way_.clear();
  oldest_in_chunk_.reset();
  answer_wanted_ = false;

  Connection replication = connect("stream", ConnectionUse::kReplication);
  check_history(applied, replication);
  const Lsn confirmed = check_slot(applied);
  const Lsn start{applied.value};
  const bool owes = compared_ && (*compared_ == Position{} || compared_->history == history_);
  const Lsn compared = owes ? std::min(start, Lsn{compared_->value}) : start;
  assembler_.reset(start, compared);
  handed_out_ = start;
  handed_out_at_ = Clock::now();
  acknowledged_ = std::max(start, confirmed);
  durable_ = {};
  stream_ = std::make_unique<ReplicationStream>(
      std::move(replication),
      StreamOptions{.slot = names_.slot,
                    .publication = names_.publication,
                    .start = compared,
                    .binary = all_binary(*mapping_, options_.store)},
      queue_);
}

void PostgresSource::check_history(const Position& applied, Connection& replication) {
  history_ = postgres_history(replication);
  if (applied.history == 0 || applied.history == history_) return;
  throw_forked(names_.slot,
               "this is not the PostgreSQL that the old store's position was made in (another "
               "cluster, a restored backup or a promoted standby)");
}

// Returns what the slot has confirmed.
Lsn PostgresSource::check_slot(const Position& applied) {
  Connection sql = connect("source", ConnectionUse::kSql);
  const SlotState slot = inspect_slot(sql, names_.slot);
  if (!slot.exists) throw_forked(names_.slot, "the slot is gone; changes may be missing");
  if (slot.wal_status == "lost") {
    throw_forked(names_.slot,
                 "the server has removed log that the slot still needed; changes are missing");
  }
  require_free_name(slot, names_.slot);
  if (slot.plugin != "pgoutput") {
    throw Error(ErrorKind::kRefused, Retry::kNever,
                fmt::format("the slot belongs to the plugin '{}'", slot.plugin),
                {.object = "slot " + names_.slot,
                 .sqlstate = {},
                 .next = "let whoever made it drop it; then: " + std::string(kDoctorFix)});
  }
  const Result end = sql.exec("SELECT pg_catalog.pg_current_wal_flush_lsn()");
  const auto flushed = parse_lsn(end.text(0, 0));
  if (!flushed || *flushed < Lsn{applied.value}) {
    throw_forked(names_.slot, fmt::format("the server's log ends at {}, before the old store's "
                                          "position {}: it was set back",
                                          end.text(0, 0), to_string(Lsn{applied.value})));
  }
  check_confirmed(applied, slot, sql);
  return slot.confirmed;
}

// The server silently begins at the confirmed position if asked for an earlier one. Nothing is
// passed over by that only if the slot has confirmed nothing since it was made: it was made behind
// the fence, when nobody but the bridge could write.
void PostgresSource::check_confirmed(const Position& applied, const SlotState& slot,
                                     Connection& sql) const {
  if (slot.confirmed <= Lsn{applied.value}) return;
  const auto born = slot_birth(sql, mapping_->bridge, options_.store, names_.slot);
  if (born == slot.confirmed) return;
  throw_forked(names_.slot,
               fmt::format("the slot has confirmed {}, but the old store holds only {}: what lies "
                           "between will not be sent again",
                           to_string(slot.confirmed), to_string(Lsn{applied.value})));
}

Pull PostgresSource::pull(Chunk& out, Deadline deadline, std::stop_token stop) {
  out.clear();
  oldest_in_chunk_.reset();
  for (;;) {
    if (take_items(out)) return hand_out(out);
    if (!stop.stop_requested() && queue_.take(packet_)) continue;
    // Nothing received is pending now.
    if (!assembler_.in_transaction() && (!out.empty() || position_due())) return hand_out(out);
    const Deadline next = assembler_.in_transaction() || assembler_.reached() == handed_out_
                              ? deadline
                              : deadline.sooner(Deadline(handed_out_at_ + options_.position_every));
    if (!stop.stop_requested() && queue_.wait(next, stop)) continue;
    if (!assembler_.in_transaction() && position_due()) return hand_out(out);
    // The rest of a transaction is late: what is there can be applied meanwhile.
    return out.empty() ? Pull::kIdle : hand_out(out);
  }
}

// Feeds the rest of the packet; true when the chunk should be handed out now.
bool PostgresSource::take_items(Chunk& out) {
  while (const auto item = packet_.next()) {
    if (take_item(*item, out)) return true;
    if (out.full()) return true;
  }
  return false;
}

bool PostgresSource::take_item(const StreamItem& item, Chunk& out) {
  switch (item.sort) {
    case StreamItem::Sort::kUrgentKeepalive:
      answer_wanted_ = true;
      [[fallthrough]];
    case StreamItem::Sort::kKeepalive:
      assembler_.reach(item.wal_end);
      return false;
    case StreamItem::Sort::kMessage:
      break;
  }
  const Assembler::Event event = assembler_.feed(item.message, out);
  if (!oldest_in_chunk_ && !out.empty()) oldest_in_chunk_ = packet_.received;
  if (event != Assembler::Event::kNone && assembler_.owed()) return !out.empty();
  return event == Assembler::Event::kDrain;
}

bool PostgresSource::position_due() const {
  if (assembler_.reached() <= handed_out_) return false;
  return answer_wanted_ || Clock::now() - handed_out_at_ >= options_.position_every ||
         assembler_.reached().value - handed_out_.value > options_.position_after_bytes;
}

Pull PostgresSource::hand_out(Chunk& out) {
  if (!out.empty() && assembler_.owed()) return Pull::kOwed;
  const auto now = Clock::now();
  if (!out.empty()) {
    // Only the oldest of those on their way is ever looked at, so near ones may share an entry.
    if (on_their_way_.empty() || now - on_their_way_.back().since > milliseconds(20)) {
      on_their_way_.push_back({{}, oldest_in_chunk_.value_or(now)});
    }
    // Until its transaction has ended, a change cannot be acknowledged.
    on_their_way_.back().boundary = Lsn{UINT64_MAX};
  }
  if (!assembler_.in_transaction()) {
    handed_out_ = assembler_.reached();
    handed_out_at_ = now;
    answer_wanted_ = false;
    for (auto late = on_their_way_.rbegin();
         late != on_their_way_.rend() && late->boundary == Lsn{UINT64_MAX}; ++late) {
      late->boundary = handed_out_;
    }
    out.boundary = Position{history_, handed_out_.value, 0};
  }
  return Pull::kChunk;
}

void PostgresSource::acknowledge(const Position& durable) noexcept {
  // Never more than was handed out, whatever the caller says.
  if (durable.history != history_ || Lsn{durable.value} > handed_out_) return;
  acknowledged_ = std::max(acknowledged_, Lsn{durable.value});
  durable_ = std::max(durable_, Lsn{durable.value});
  while (!on_their_way_.empty() && on_their_way_.front().boundary <= acknowledged_) {
    on_their_way_.pop_front();
  }
  confirm();
}

void PostgresSource::compared(const Position& position) noexcept {
  compared_ = position;
  confirm();
}

// What the slot is not told, it keeps.
void PostgresSource::confirm() noexcept {
  if (!stream_) return;
  Lsn done = durable_;
  const bool bound = compared_ && (*compared_ == Position{} || compared_->history == history_);
  if (bound) done = std::min(done, Lsn{compared_->value});
  if (done > Lsn{}) stream_->acknowledge(done);
}

Lag PostgresSource::lag() {
  Lag lag;
  lag.changes = queue_.changes();
  const Lsn end = stream_ ? stream_->server_end() : Lsn{};
  // Log in which nothing of ours happened is not a distance.
  const bool all_done = lag.changes == 0 && on_their_way_.empty() && !assembler_.in_transaction();
  const Lsn done = all_done ? std::max(acknowledged_, assembler_.reached()) : acknowledged_;
  lag.bytes = end > done ? end.value - done.value : 0;
  std::optional<Clock::time_point> oldest;
  if (!on_their_way_.empty()) {
    oldest = on_their_way_.front().since;
  } else if (lag.changes != 0) {
    oldest = queue_.oldest();
  }
  if (oldest) lag.age = std::chrono::duration_cast<milliseconds>(Clock::now() - *oldest);
  return lag;
}

}  // namespace

std::unique_ptr<ChangeSource> open_postgres_source(PostgresSourceOptions options,
                                                   std::shared_ptr<const Mapping> mapping) {
  return std::make_unique<PostgresSource>(std::move(options), std::move(mapping));
}

}  // namespace switchback
