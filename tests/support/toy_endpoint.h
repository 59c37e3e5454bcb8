// The smallest endpoint there is: rows in a map, a log of dirty keys, a fence that is a flag. It
// has no transactions of its own, so its sink keeps what it was given and lets it in at commit. It
// runs the conformance suite, and lets the pump and the flip be tested without a server. A ToyStore
// stands for what survives a crash; the parts made from it come and go.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "state/ports/endpoint.h"

namespace switchback {

/// A row as owned values: the canonical kind and its text form.
struct ToyValue {
  Kind kind = Kind::kNull;
  std::int64_t number = 0;
  double real = 0;
  std::string text = {};
  friend bool operator==(const ToyValue&, const ToyValue&) = default;
};
using ToyRow = std::vector<ToyValue>;
using ToyKey = std::pair<TableId, std::string>;  // key_text()

/// A row of test_mapping()'s parent table.
ToyRow toy_parent(std::int64_t id, std::string name, std::string doc = {});
ToyRow toy_row(const Chunk& chunk, std::span<const Cell> cells);
void add_row(const ToyRow& row, Chunk& chunk);

/// Thread-safe.
class ToyStore {
 public:
  explicit ToyStore(std::shared_ptr<const Mapping> mapping, bool open);

  /// What an application does: false if the fence refused it. Waits while a gate holds the lock.
  bool write(TableId table, const ToyRow& row);
  bool erase(TableId table, const ToyRow& key);
  std::map<ToyKey, ToyRow> rows() const;
  /// What nobody sees: past the fence, and not in the log. An empty row: it is gone.
  void tamper(TableId table, const ToyRow& key, const ToyRow& row);
  /// Throws a retryable Error on the N-th next commit, before (or after) it took effect.
  void fail_commit(int nth, bool after);
  /// What its source does at its next idle().
  void housekeep_once(std::function<void()> chore);
  /// What its gate does to get ready to be closed. Before any of them is used.
  void on_ready_to_close(std::function<void()> chore) { on_ready_to_close_ = std::move(chore); }
  /// What happens when its gate has opened. Before any of them is used.
  void on_open(std::function<void()> event) { on_open_ = std::move(event); }
  /// Begins a new history, as a restored copy would.
  void fork();
  /// What was applied to it is `position` again, as in a copy of that time.
  void set_back(const Position& position);

 private:
  friend class ToySource;
  friend class ToySink;
  friend class ToyReader;
  friend class ToyGate;
  friend class ToyEndpoint;
  struct Entry {
    std::uint64_t seq;
    ToyKey key;
    ToyRow key_row;
  };
  bool change(TableId table, const ToyRow& key, std::optional<ToyRow> row);

  const std::shared_ptr<const Mapping> mapping_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<ToyKey, ToyRow> rows_;
  std::deque<Entry> log_;
  std::uint64_t last_seq_ = 1;
  std::uint64_t history_ = 77;
  GateState gate_;
  bool locked_ = false;
  std::optional<Position> applied_;
  std::map<ToyKey, std::string> quarantine_;
  std::function<void()> chore_;
  std::function<void()> on_ready_to_close_;
  std::function<void()> on_open_;
  int fail_in_ = 0;
  bool fail_after_ = false;
};

std::unique_ptr<Endpoint> open_toy(std::shared_ptr<ToyStore> store);

}  // namespace switchback
