#include "watchers/files/net_changes.h"

#include <map>
#include <set>
#include <string>

#include "state/ports/change_sink.h"

namespace switchback {
namespace {

class Folder {
 public:
  Folder(const LensPlan& plan, const Chunk& chunk) : plan_(plan), chunk_(chunk) {}

  void add(std::uint32_t index) {
    const Change& change = chunk_.changes()[index];
    const std::uint16_t table = plan_.index_of(change.table);
    const std::uint16_t width = plan_.map(table).key_width;
    const auto row = chunk_.row(change);
    const auto new_key = row.subspan(0, width);
    const bool renamed = change.old_key != Change::kNone;
    const auto key = renamed ? chunk_.old_key(change, width) : new_key;
    const std::string before = key_text(chunk_, key);
    const auto found = current_.find({table, before});
    std::size_t at = 0;
    if (found == current_.end()) {
      at = out.size();
      NetChange net;
      net.table = table;
      net.key.assign(key.begin(), key.end());
      net.born = !seen_.insert({table, before}).second;
      out.push_back(std::move(net));
    } else {
      at = found->second;
      current_.erase(found);
    }
    NetChange& net = out[at];
    net.changes.push_back(index);
    if (change.op == Op::kUpsert) {
      merge(net, row);
    } else {
      net.row.assign(new_key.begin(), new_key.end());
    }
    net.deleted = change.op != Op::kUpsert;
    current_[{table, key_text(chunk_, new_key)}] = at;
  }

  std::vector<NetChange> out;

 private:
  /// What a change leaves as it was is what the one before it made of it.
  static void merge(NetChange& net, std::span<const Cell> row) {
    const bool has_row = !net.deleted && net.row.size() == row.size();
    std::vector<Cell> now(row.begin(), row.end());
    for (std::size_t i = 0; has_row && i < now.size(); ++i) {
      if (now[i].kind == Kind::kUnchanged) now[i] = net.row[i];
    }
    net.row = std::move(now);
  }

  const LensPlan& plan_;
  const Chunk& chunk_;
  std::map<std::pair<std::uint16_t, std::string>, std::size_t> current_;
  std::set<std::pair<std::uint16_t, std::string>> seen_;  // keys by which some change was found
};

}  // namespace

std::vector<NetChange> net_changes(const LensPlan& plan, const Chunk& chunk,
                                   std::span<const std::uint32_t> changes) {
  Folder folder(plan, chunk);
  for (const std::uint32_t index : changes) folder.add(index);
  return std::move(folder.out);
}

}  // namespace switchback
