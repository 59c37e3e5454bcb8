// From changed rows back to a record. What was written is read again before it counts: a change
// that would not be read back as it is, or that would change another row, is refused, and the
// record is written anew without it.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "state/base/error.h"
#include "state/ports/change_sink.h"
#include "watchers/files/json_cell.h"
#include "watchers/files/lens.h"
#include "watchers/files/lens_plan.h"
#include "watchers/files/net_changes.h"
#include "watchers/files/record_editor.h"

namespace switchback {
namespace {

using Refusals = std::map<std::size_t, CannotWrite>;  // by index of a net change

/// The rows of one state of a record, by table and key.
class Rows {
 public:
  Rows(const Lens& lens, const LensPlan& plan, const RecordInput& record,
       const RecordMemory& memory) {
    NoIdentities none;
    keyless = lens.get(record, &memory, none, chunk).keyless.size();
    for (std::uint32_t i = 0; i < chunk.changes().size(); ++i) {
      const Change& change = chunk.changes()[i];
      const std::uint16_t width = plan.mapping->table(change.table).key_width;
      by_key[{plan.index_of(change.table), key_text(chunk, chunk.row(change).subspan(0, width))}] =
          i;
    }
  }

  using Key = std::pair<std::uint16_t, std::string>;
  const Change* find(const Key& key) const {
    const auto found = by_key.find(key);
    return found == by_key.end() ? nullptr : &chunk.changes()[found->second];
  }

  Chunk chunk;
  std::map<Key, std::uint32_t> by_key;
  std::size_t keyless = 0;
};

/// Columns whose value follows from the file itself once it is written.
bool follows(const ColumnSource& source) {
  using enum ValueSource::Sort;
  return std::any_of(source.from.begin(), source.from.end(), [](const ValueSource& from) {
    return from.sort == kSize || from.sort == kMtime || from.sort == kSha256;
  });
}

/// The first column in which the rows differ; nullopt if they are the same.
std::optional<std::size_t> difference(const LensPlan& plan, std::uint16_t table,
                                      std::span<const Cell> a, const Chunk& of_a,
                                      std::span<const Cell> b, const Chunk& of_b) {
  const auto& sources = plan.source(table).columns;
  for (std::size_t c = 0; c < sources.size() && c < a.size() && c < b.size(); ++c) {
    const bool filled = !sources[c].from.empty() || sources[c].otherwise;
    if (!filled || follows(sources[c]) || a[c].kind == Kind::kUnchanged) continue;
    if (!same_cell(plan.map(table).columns[c], a[c], of_a, b[c], of_b)) return c;
  }
  return a.size() == b.size() ? std::nullopt : std::optional<std::size_t>(0);
}

class Putting {
 public:
  Putting(const Lens& lens, const LensPlan& plan, const Chunk& chunk,
          std::span<const std::uint32_t> changes, const TextStyle& style)
      : lens_(lens),
        plan_(plan),
        chunk_(chunk),
        style_(style),
        nets_(net_changes(plan, chunk, changes)) {}

  RecordText run(const RecordState& start) {
    const std::optional<Rows> before =
        start.born ? std::nullopt
                   : std::optional<Rows>(std::in_place, lens_, plan_, start.input(), start.memory);
    Refusals refused;
    RowsAtStart rows(plan_, start.input(), start.memory, start.born);
    RecordState state = write(start, rows, refused);
    while (const auto more = judge(before ? &*before : nullptr, state, refused)) {
      refused.insert(more->begin(), more->end());
      state = write(start, rows, refused);
    }
    return answer(start, std::move(state), refused);
  }

 private:
  /// Writes everything not refused, table by table; what cannot be written is refused too.
  RecordState write(const RecordState& start, RowsAtStart& rows, Refusals& refused) {
    RecordState state = start;
    for (std::uint16_t table = 0; table < plan_.collection().tables.size(); ++table) {
      if (state.born && plan_.source(table).level != 0) {
        for (const NetChange& net : nets_) {
          if (net.table != table) continue;
          refused.try_emplace(index_of(net), CannotWrite{"its record's own row is missing", true});
        }
      }
      state = write_table(std::move(state), rows, table, refused);
    }
    return state;
  }

  RecordState write_table(RecordState state, RowsAtStart& rows, std::uint16_t table,
                          Refusals& refused) {
    for (;;) {
      const bool any = std::any_of(nets_.begin(), nets_.end(), [&](const NetChange& net) {
        return net.table == table && !refused.contains(index_of(net));
      });
      if (!any) return state;
      const NetChange* at = nullptr;
      RecordState tried = state;
      try {
        RecordEditor editor(plan_, chunk_, style_, rows, tried);
        for (const NetChange& net : nets_) {
          if (net.table != table || refused.contains(index_of(net))) continue;
          at = &net;
          editor.apply(net);
        }
        editor.finish();
        tried.file.members = path_members(tried);
        return tried;
      } catch (const CannotWrite& why) {
        refused[index_of(*at)] = why;
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kData) throw;
        refused[index_of(*at)] = {error.message()};
      }
    }
  }

  std::size_t index_of(const NetChange& net) const {
    return static_cast<std::size_t>(&net - nets_.data());
  }

  /// What of the written must be refused: nullopt if all of it reads back.
  std::optional<Refusals> judge(const Rows* before, const RecordState& state,
                                const Refusals& refused) const {
    Refusals out;
    if (state.gone || (state.born && refused.size() == nets_.size())) {
      return std::nullopt;
    }
    std::optional<Rows> now;
    try {
      now.emplace(lens_, plan_, state.input(), state.memory);
    } catch (const CannotWrite& why) {
      return all_but(refused, why.reason);
    }
    std::set<Rows::Key> touched, wanted;
    bool deletes = false;
    for (const NetChange& net : nets_) {
      if (refused.contains(index_of(net))) continue;
      touched.insert({net.table, key_text(chunk_, net.key)});
      touched.insert(fresh_key(net));
      if (!net.deleted) wanted.insert(fresh_key(net));
      deletes |= net.deleted;
    }
    for (const NetChange& net : nets_) {
      if (refused.contains(index_of(net))) continue;
      const Rows::Key fresh = fresh_key(net);
      // Another row may have the key by now of one that was deleted.
      const std::string wrong = !net.deleted             ? unlike(*now, fresh, net)
                                : wanted.contains(fresh) ? ""
                                                         : still_there(*now, fresh);
      if (!wrong.empty()) out[index_of(net)] = {wrong};
    }
    if (!out.empty()) return out;
    if (before != nullptr && disturbed(*before, *now, touched, deletes)) {
      return all_but(refused, "writing it would change another row of the record");
    }
    return std::nullopt;
  }

  Rows::Key fresh_key(const NetChange& net) const {
    const auto width = plan_.map(net.table).key_width;
    return {net.table, key_text(chunk_, std::span(net.row).first(width))};
  }

  std::optional<Refusals> all_but(const Refusals& refused, const std::string& reason) const {
    Refusals out;
    for (std::size_t i = 0; i < nets_.size(); ++i) {
      if (!refused.contains(i)) out[i] = {reason};
    }
    if (out.empty()) return std::nullopt;
    return out;
  }

  static std::string still_there(const Rows& now, const Rows::Key& key) {
    return now.find(key) == nullptr ? "" : "the document would still hold the row";
  }

  std::string unlike(const Rows& now, const Rows::Key& key, const NetChange& net) const {
    const Change* row = now.find(key);
    if (row == nullptr) return "the document would not hold the row";
    if (row->op == Op::kMisfit) return std::string(now.chunk.text(row->reason));
    const auto column =
        difference(plan_, net.table, net.row, chunk_, now.chunk.row(*row), now.chunk);
    if (!column) return {};
    return fmt::format("{}: the document would hold another value",
                       plan_.map(net.table).columns[*column].name);
  }

  bool disturbed(const Rows& before, const Rows& now, const std::set<Rows::Key>& touched,
                 bool deletes) const {
    if (now.keyless > before.keyless) return true;
    for (const auto& [key, index] : before.by_key) {
      if (touched.contains(key)) continue;
      const Change& old = before.chunk.changes()[index];
      const Change* row = now.find(key);
      if (row == nullptr) {
        if (deletes) continue;  // gone with the row that enclosed it
        return true;
      }
      if (row->op != old.op) return true;
      if (difference(plan_, key.first, before.chunk.row(old), before.chunk, now.chunk.row(*row),
                     now.chunk)) {
        return true;
      }
    }
    return std::any_of(now.by_key.begin(), now.by_key.end(), [&](const auto& row) {
      return !touched.contains(row.first) && before.find(row.first) == nullptr;
    });
  }

  RecordText answer(const RecordState& start, RecordState state, const Refusals& refused) const {
    RecordText out;
    out.gone = state.gone;
    for (const auto& [net, why] : refused) {
      for (const std::uint32_t change : nets_[net].changes) {
        out.refused.push_back({change, why.reason, why.orphan});
      }
    }
    const bool opaque = !start.document;
    if (!state.gone) {
      out.bytes = opaque ? state.contents : std::string(state.document->text());
    }
    out.name = state.name;
    if (plan_.levels[0].place) out.place = state.place;
    out.path = state.path;
    out.members = path_members(state);
    out.memory = std::move(state.memory);
    return out;
  }

  /// What the record now says of its path, where it says nothing what the path said before.
  std::vector<PathMember> path_members(const RecordState& state) const {
    std::vector<PathMember> out = state.file.members;
    if (!state.document) return out;
    for (const FilePattern& pattern : plan_.collection().files) {
      for (const PathPart& part : pattern.parts) {
        for (const PathPart::Piece& piece : part.pieces) {
          if (piece.sort != PathPart::Piece::Sort::kMember) continue;
          const auto node = state.document->find(Document::kRoot, piece.member);
          const auto text = node ? scalar_text(*state.document, *node) : std::nullopt;
          if (!text || state.document->sort(*node) == JsonSort::kNull) continue;
          std::erase_if(out, [&](const PathMember& told) { return told.member == piece.member; });
          out.push_back({piece.member, *text});
        }
      }
    }
    return out;
  }

  const Lens& lens_;
  const LensPlan& plan_;
  const Chunk& chunk_;
  const TextStyle& style_;
  const std::vector<NetChange> nets_;
};

}  // namespace

RecordText Lens::put(const RecordInput& record, const RecordMemory& memory, const Chunk& chunk,
                     std::span<const std::uint32_t> changes, const TextStyle& style) const {
  RecordState start;
  if (record.document != nullptr) {
    start.document = *record.document;
    start.indent = record.document->indent(Document::kRoot);
  } else {
    start.contents = record.contents;
  }
  start.file = *record.file;
  start.in_map = record.in_map;
  start.name = record.name;
  start.place = record.place;
  start.copy = record.copy;
  start.memory = memory;
  return Putting(*this, *plan_, chunk, changes, style).run(start);
}

RecordText Lens::make(const FileFacts& file, bool in_map, const Chunk& chunk,
                      std::span<const std::uint32_t> changes, const TextStyle& style) const {
  RecordState start;
  start.file = file;
  start.in_map = in_map;
  start.born = true;
  if (plan_->collection().records.form != RecordsLayout::Form::kOpaque) {
    std::string text = plan_->levels[0].takes_scalars ? "null" : "{}";
    if (plan_->born) text = emptied_sample(*plan_, 0);
    start.text = std::make_shared<const std::string>(style.print(text, {}));
    start.document = Document::parse(*start.text, {.where = "a new record"});
  }
  return Putting(*this, *plan_, chunk, changes, style).run(start);
}

}  // namespace switchback
