// A collection's mapping made ready to be executed: what each level of elements must remember, what
// it is recognised by, and which members something takes. Made once per lens; private to it.
// Immutable.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "state/model/document_map.h"
#include "watchers/files/document.h"

namespace switchback {

/// The members below an element that columns or inner levels take; the others are "$rest".
struct TakenMembers {
  bool whole = false;
  std::map<std::string, TakenMembers> members;

  void add(const MemberPath& path);
};

struct LevelPlan {
  std::vector<std::uint16_t> tables;    // indexes into Collection::tables
  std::vector<std::uint16_t> children;  // the levels directly inside
  bool uuid = false, serial = false, hash = false;
  bool place = false;                    // some column holds its place in an array
  bool takes_scalars = false;            // some column takes the element itself
  std::optional<Document::Node> sample;  // in LensPlan::born: how such an element looks
  std::vector<MemberPath> own_key;       // members that tell elements apart; empty: none do
  TakenMembers taken;
};

struct LensPlan {
  std::shared_ptr<const Mapping> mapping;
  std::shared_ptr<const DocumentMap> documents;
  std::uint16_t collection_index = 0;
  std::vector<LevelPlan> levels;
  std::optional<Document> born;  // Collection::born
  bool remembers = false;

  const Collection& collection() const { return documents->collections[collection_index]; }
  const TableSource& source(std::uint16_t table) const { return collection().tables[table]; }
  const TableMap& map(std::uint16_t table) const { return mapping->table(source(table).table); }
  /// The index in Collection::tables; Error(kInternal) if the table is none of the collection's.
  std::uint16_t index_of(TableId table) const;
  /// The level `up` levels out of `level`.
  std::uint16_t outer(std::uint16_t level, std::uint16_t up) const;

  /// Whether `b`, seen from `shift` levels further in, takes the same value as `a`.
  static bool same_source(const ValueSource& a, const ValueSource& b, std::uint16_t shift);

  static LensPlan make(std::shared_ptr<const Mapping> mapping,
                       std::shared_ptr<const DocumentMap> documents, std::uint16_t collection);
};

/// The template's element of this level without the elements of inner levels: JSON text.
std::string emptied_sample(const LensPlan& plan, std::uint16_t level);

}  // namespace switchback
