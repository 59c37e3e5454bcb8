#include "watchers/files/lens_plan.h"

#include <algorithm>
#include <functional>

#include "state/base/error.h"

namespace switchback {
namespace {

using Sort = ValueSource::Sort;

void for_each_source(const TableSource& table,
                     const std::function<void(const ValueSource&)>& call) {
  for (const ColumnSource& column : table.columns) {
    for (const ValueSource& source : column.from) call(source);
    if (column.otherwise) call(*column.otherwise);
  }
  for (const RowCondition& condition : table.where) call(condition.source);
}

void note(const ValueSource& source, LevelPlan& level, bool in_array) {
  switch (source.sort) {
    case Sort::kMember:
      level.taken.add(source.path);
      if (source.path.empty()) level.takes_scalars = true;
      break;
    case Sort::kKey:
      if (in_array) level.place = true;
      break;
    case Sort::kUuid:
      level.uuid = true;
      break;
    case Sort::kSerial:
      level.serial = true;
      break;
    case Sort::kHash:
      level.hash = true;
      break;
    case Sort::kRest:
    case Sort::kPath:
    case Sort::kSize:
    case Sort::kMtime:
    case Sort::kSha256:
    case Sort::kBytes:
    case Sort::kConstant:
      break;
  }
}

/// The members of an element that a table's key is made of, if nothing else of the element is.
std::vector<MemberPath> own_key(const TableSource& table, const TableMap& map) {
  std::vector<MemberPath> out;
  for (std::size_t i = 0; i < map.key_width; ++i) {
    for (const ValueSource& source : table.columns[i].from) {
      if (source.up != 0 || source.sort == Sort::kConstant) continue;
      if (source.sort != Sort::kMember) return {};
      out.push_back(source.path);
    }
  }
  return out;
}

/// An element of each level as the template has it: the first of a list.
void find_samples(LensPlan& plan) {
  const auto& levels = plan.collection().levels;
  plan.levels[0].sample = Document::kRoot;
  for (std::size_t i = 1; i < levels.size(); ++i) {
    const auto outer = plan.levels[levels[i].parent].sample;
    auto found = outer ? plan.born->find(*outer, levels[i].path) : std::nullopt;
    if (found && levels[i].each) found = plan.born->first(*found);
    plan.levels[i].sample = found;
  }
}

}  // namespace

void TakenMembers::add(const MemberPath& path) {
  TakenMembers* here = this;
  for (const std::string& step : path) here = &here->members[step];
  if (!path.empty()) here->whole = true;
}

std::uint16_t LensPlan::index_of(TableId table) const {
  const auto& tables = collection().tables;
  const auto at = std::find_if(tables.begin(), tables.end(),
                               [&](const TableSource& there) { return there.table == table; });
  if (at == tables.end()) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a row of another collection",
                {.object = collection().name});
  }
  return static_cast<std::uint16_t>(at - tables.begin());
}

std::uint16_t LensPlan::outer(std::uint16_t level, std::uint16_t up) const {
  while (up-- != 0) level = collection().levels[level].parent;
  return level;
}

bool LensPlan::same_source(const ValueSource& a, const ValueSource& b, std::uint16_t shift) {
  return a.sort == b.sort && a.up + shift == b.up && a.path == b.path && a.constant == b.constant;
}

LensPlan LensPlan::make(std::shared_ptr<const Mapping> mapping,
                        std::shared_ptr<const DocumentMap> documents, std::uint16_t collection) {
  LensPlan plan;
  plan.mapping = std::move(mapping);
  plan.documents = std::move(documents);
  plan.collection_index = collection;
  const Collection& all = plan.collection();
  plan.levels.resize(all.levels.size());
  for (std::uint16_t i = 1; i < all.levels.size(); ++i) {
    plan.levels[all.levels[i].parent].children.push_back(i);
    plan.levels[all.levels[i].parent].taken.add(all.levels[i].path);
  }
  const bool records_in_list = all.records.form == RecordsLayout::Form::kEach ||
                               all.records.form == RecordsLayout::Form::kLines;
  for (std::uint16_t t = 0; t < all.tables.size(); ++t) {
    const TableSource& table = all.tables[t];
    plan.levels[table.level].tables.push_back(t);
    for_each_source(table, [&](const ValueSource& source) {
      const std::uint16_t at = plan.outer(table.level, source.up);
      note(source, plan.levels[at], at == 0 ? records_in_list : all.levels[at].each);
    });
    const auto key = own_key(table, plan.map(t));
    LevelPlan& level = plan.levels[table.level];
    if (level.own_key.empty()) level.own_key = key;
  }
  if (!all.born.empty()) {
    plan.born = Document::parse(all.born, {.where = "template"});
    find_samples(plan);
  }
  for (const LevelPlan& level : plan.levels) {
    plan.remembers |= level.uuid || level.serial || level.hash || level.place;
  }
  return plan;
}

}  // namespace switchback
