// The first look of a full comparison: each row's hash is added (modulo 2^128) into one of 65,536
// sums that the hash of its key chooses. Sums of both sides that are equal need no second look, in
// whatever order the rows came; the memory is the same for any number of rows. One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "state/base/hash128.h"

namespace switchback {

class Buckets {
 public:
  static constexpr std::size_t kCount = 65'536;
  static std::size_t of(const Hash128& key) { return key.low % kCount; }

  /// `row` is the hash of the whole row, its key included.
  void add(const Hash128& key, const Hash128& row) {
    Bucket& bucket = buckets_[of(key)];
    bucket.sum += row;
    ++bucket.rows;
    ++rows_;
  }
  std::uint64_t rows() const { return rows_; }
  std::uint32_t rows_in(std::size_t bucket) const { return buckets_[bucket].rows; }

  /// Numbers of the buckets in which two sides differ, in rising order.
  static std::vector<std::size_t> unequal(const Buckets& a, const Buckets& b) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < kCount; ++i) {
      if (a.buckets_[i] != b.buckets_[i]) out.push_back(i);
    }
    return out;
  }

 private:
  struct Bucket {
    Hash128 sum;
    std::uint32_t rows = 0;
    friend bool operator==(const Bucket&, const Bucket&) = default;
  };
  std::vector<Bucket> buckets_ = std::vector<Bucket>(kCount);
  std::uint64_t rows_ = 0;
};

}  // namespace switchback
