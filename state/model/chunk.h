// What travels between a source and a sink: about a megabyte of changes in one arena, never a heap
// object per cell. A batch is one or more chunks; the last one carries the position at which the
// source was in the consistent state that the batch leads to. A chunk belongs to one thread at a
// time and is reused (clear() keeps its memory).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/cell.h"
#include "state/model/position.h"
#include "state/model/table_map.h"

namespace switchback {

enum class Op : std::uint8_t {
  kUpsert,    // row() is the new image, its first key_width cells the key; old_key() set: renamed
  kDelete,    // row() is the key alone
  kTruncate,  // no cells
  kMisfit,    // row() is the key alone; Change::reason says why the source's row does not fit
};

/// Indexes into the chunk that holds it.
struct Change {
  static constexpr std::uint32_t kNone = UINT32_MAX;
  TableId table{};
  Op op = Op::kUpsert;
  std::uint16_t width = 0;        // cells in row()
  std::uint32_t row = 0;          // first cell of the row
  std::uint32_t old_key = kNone;  // first cell of the old key, if the key changed
  Cell reason = Cell::null();     // kMisfit only
};

class Chunk {
 public:
  /// A source stops filling at this size; one row may be larger than the whole.
  static constexpr std::size_t kFullBytes = std::size_t{1} << 20;

  // Reading. Views live until the next change to the chunk.
  std::span<const Change> changes() const { return changes_; }
  std::span<const Cell> row(const Change& change) const {
    return {cells_.data() + change.row, change.width};
  }
  std::span<const Cell> old_key(const Change& change, std::uint16_t key_width) const {
    return {cells_.data() + change.old_key, key_width};
  }
  std::string_view text(const Cell& cell) const {
    return std::string_view(arena_).substr(cell.offset, cell.size);
  }
  bool empty() const { return changes_.empty(); }
  bool full() const { return bytes() >= kFullBytes; }
  std::size_t bytes() const {
    return arena_.size() + cells_.size() * sizeof(Cell) + changes_.size() * sizeof(Change);
  }
  /// Set: a consistent state ends with this chunk.
  std::optional<Position> boundary;

  // Filling: add_text() for each value that needs it, add() for each cell of the row in table-map
  // order, then one of the end_ functions takes the cells added since the last one.
  void clear();
  Cell add_text(Kind kind, std::string_view text);
  void add(Cell cell) { cells_.push_back(cell); }
  void end_upsert(TableId table);
  void end_delete(TableId table);
  void end_truncate(TableId table);
  void end_misfit(TableId table, std::string_view reason);
  /// The cells added since the last end_ are an old key (key_width of them) and then the new row.
  void end_rename(TableId table, std::uint16_t key_width);
  /// Takes back the cells added since the last end_ function.
  void drop_row() { cells_.resize(open_); }

  // Spooling: one flat image that parse() takes back.
  void serialize(std::string& out) const;
  /// Throws Error(kInternal) if `image` was not made by serialize().
  static Chunk parse(std::string_view image);
  /// The same into this chunk, whose memory is used again.
  void load(std::string_view image);

 private:
  void end(TableId table, Op op, std::uint32_t row);

  std::vector<Change> changes_;
  std::vector<Cell> cells_;
  std::string arena_;
  std::size_t open_ = 0;  // first cell that no change has taken yet
};

/// Copies a cell from one chunk's arena into another's.
Cell copy_cell(const Cell& cell, const Chunk& from, Chunk& to);

}  // namespace switchback
