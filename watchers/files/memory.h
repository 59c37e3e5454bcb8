// What a document has no room for: the identities that the bridge made up for its elements, and the
// places that array elements got. LLM Council's messages have no id, PostgreSQL's rows must have
// one. The ledger keeps one memory per record and hands it to the lens with the record; when the
// document has changed in between, its elements are recognised again by their marks: a key of their
// own, a name in a map, else their contents, and only then their index between neighbours that were
// recognised. Pure; plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/base/hash128.h"

namespace switchback {

/// Made up for one element; each is filled only where some column of the collection takes it.
struct MadeUp {
  std::string uuid;  // canonical, 36 characters
  std::optional<std::int64_t> serial;
  std::string hash;                   // 32 hexadecimal digits
  std::optional<std::int64_t> place;  // in an array: orders it among its siblings
  friend bool operator==(const MadeUp&, const MadeUp&) = default;
};

/// What an element is recognised by.
struct Mark {
  Hash128 hash;
  bool own_key = false;  // of a key or name of its own: nothing else can be the same element
  friend bool operator==(const Mark&, const Mark&) = default;
};

struct ElementMemory {
  static constexpr std::uint32_t kNone = UINT32_MAX;
  std::uint16_t level = 0;
  std::uint32_t parent = kNone;  // index of the enclosing element in RecordMemory::elements
  Mark mark;
  MadeUp made;
};

/// Elements in document order, parents before children, the record itself first. Empty for a
/// collection in which nothing is made up.
struct RecordMemory {
  std::vector<ElementMemory> elements;

  std::string serialize() const;
  /// Throws Error(kInternal) if `bytes` were not made by serialize().
  static RecordMemory parse(std::string_view bytes);
};

/// For each of `now` the index in `before` of what it was, or kNone. Used for the elements of an
/// array by the lens, and for the records of a file by the scan.
std::vector<std::uint32_t> align(const std::vector<Mark>& before, const std::vector<Mark>& now);

/// Gives every element a place, each greater than the one before it, keeping as many as can be
/// kept: elements at the end continue upwards, at the front downwards, so that a list which grows
/// at either end changes none of its rows.
void number_places(std::vector<std::optional<std::int64_t>>& places);

/// Where new identities come from: random, and the ledger's counters. What it hands out is durable
/// in the ledger before a row that bears it leaves the source.
class Identities {
 public:
  virtual ~Identities() = default;
  virtual std::string new_uuid() = 0;
  /// Greater than any handed out, or seen in PostgreSQL, for this level of this collection.
  virtual std::int64_t next_serial(std::uint16_t collection, std::uint16_t level) = 0;
};

/// For a record all of whose elements have theirs, as one that the ledger knows or that was just
/// written. Asked for one nevertheless, it throws Error(kInternal).
class NoNewIdentities final : public Identities {
 public:
  std::string new_uuid() override;
  std::int64_t next_serial(std::uint16_t collection, std::uint16_t level) override;
};

}  // namespace switchback
