// Builds the binary arrays that a prepared "… FROM unnest($1, $2, …)" takes: one array per column,
// one element per row. Keeps its buffers from run to run. One thread.
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/arrayfuncs.c
// (array_recv)
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"

namespace switchback {

class ArrayParameters {
 public:
  /// Starts anew with one array for each of `columns`, which must outlive the rows.
  void begin(std::span<const ColumnMap* const> columns);
  /// One cell per column. Throws Error(kData) if a type cannot hold its cell; then the row has left
  /// no trace.
  void add_row(std::span<const Cell> cells, const Chunk& chunk);
  /// No more rows: completes the headers. At least one row was added.
  void finish();

  std::uint32_t rows() const { return rows_; }
  int count() const { return static_cast<int>(values_.size()); }
  const char* const* values() const { return values_.data(); }
  const int* lengths() const { return lengths_.data(); }
  const int* formats() const { return formats_.data(); }

 private:
  struct Array {
    std::string bytes;
    bool has_null = false;
  };
  void add_cell(std::size_t column, const Cell& cell, const Chunk& chunk);

  std::vector<const ColumnMap*> columns_;
  std::vector<Array> arrays_;
  std::vector<std::size_t> sizes_;  // before the row being added
  std::uint32_t rows_ = 0;
  std::vector<const char*> values_;
  std::vector<int> lengths_, formats_;
};

}  // namespace switchback
