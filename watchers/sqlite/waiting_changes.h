// Changes that met another row's value or key, kept (their own copies) until the batch has shown
// what becomes of that row. Changes of one row stay in their order: only the first of a row is
// tried. Used by the chunk writer, on the sink's one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state/model/chunk.h"

namespace switchback {

/// A table and a key as key_text() writes it.
using RowName = std::pair<TableId, std::string>;

class WaitingChanges {
 public:
  struct One {
    std::uint32_t change = 0;   // in chunk()
    std::vector<RowName> rows;  // whom it is about: its key, and its old one
    std::string reason;
    bool gone = false;
  };

  const Chunk& chunk() const { return kept_; }
  const std::vector<One>& list() const { return list_; }
  const Change& change(const One& one) const { return kept_.changes()[one.change]; }
  bool empty() const { return list_.empty(); }
  std::size_t bytes() const { return kept_.bytes(); }
  /// Whether a change of one of these rows waits, so that a later one must wait too.
  bool any_of(const std::vector<RowName>& rows) const;

  /// The changes (as One::change) that no earlier one of their rows stands before.
  std::set<std::uint32_t> first_of_rows() const;
  std::set<std::uint32_t> all() const;

  void add(const Chunk& chunk, const Change& change, std::uint16_t key_width,
           std::vector<RowName> rows, std::string reason);
  /// The table was emptied: nothing that waits may be applied after that.
  void drop(TableId table);
  /// Puts back an earlier list(); valid until clear().
  void restore(std::vector<One> list);
  void clear();

  /// Why the change must wait on, or nullopt if it was dealt with.
  using Try = std::function<std::optional<std::string>(const Change&)>;
  /// Tries again, there and back, until nothing moves any more: a chain of any length comes apart
  /// in one walk from its free end.
  void try_again(const Try& attempt);

 private:
  bool walk(bool forward, const Try& attempt);
  bool is_first(std::size_t at) const;
  void line_up();

  Chunk kept_;
  std::vector<One> list_;
  std::map<RowName, std::deque<std::size_t>> lines_;  // who waits for a row, in order
};

}  // namespace switchback
