#include "replication/quarantine.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>

#include "replication/meta.h"

namespace switchback {
namespace {

// A btree entry holds 2,704 bytes, and the key shares it with the bridge's, store's and table's
// names.
constexpr std::size_t kLongestKey = 1500;
constexpr std::size_t kMostPerStatement = 4096;

constexpr const char* kSelectOpen =
    "SELECT table_name, key, accepted FROM switchback.quarantine WHERE bridge = $1 AND store = $2";
constexpr const char* kSelectAll =
    "SELECT table_name, key, reason, sqlstate, to_char(since AT TIME ZONE 'UTC',"
    " 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), accepted"
    " FROM switchback.quarantine WHERE bridge = $1 ORDER BY table_name, key";
constexpr const char* kEnd =
    "DELETE FROM switchback.quarantine q"
    " USING unnest($3::text[], $4::text[]) AS s (table_name, key)"
    " WHERE q.bridge = $1 AND q.store = $2 AND q.table_name = s.table_name AND q.key = s.key";
constexpr const char* kEndTables =
    "DELETE FROM switchback.quarantine"
    " WHERE bridge = $1 AND store = $2 AND table_name = ANY ($3::text[])";
constexpr const char* kUpsert =
    "INSERT INTO switchback.quarantine"
    " (bridge, store, table_name, key, reason, sqlstate, accepted)"
    " SELECT $1, $2, s.* FROM"
    " unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[]) AS s"
    " ON CONFLICT (bridge, store, table_name, key) DO UPDATE SET reason = EXCLUDED.reason,"
    " sqlstate = EXCLUDED.sqlstate, accepted = EXCLUDED.accepted";

/// Bytes of the UTF-8 character that `text` begins with; 0 if it begins with none.
/// The Unicode Standard, table 3-7.
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first == 0) return 0;
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second >= 0xA0;
  const bool beyond = first == 0xF4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : size;
}

template <class Entries, class Member>
std::string column(const Entries& entries, Member member) {
  std::vector<std::string> items;
  for (const auto& entry : entries) items.push_back(entry.*member);
  return text_array(items);
}

}  // namespace

std::string storable_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    out += size == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(0, size);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

std::string storable_key(std::string_view key) {
  if (key.size() <= kLongestKey) {
    std::string text = storable_text(key);
    if (text.size() <= kLongestKey) return text;
  }
  const std::string mark = fmt::format("...#{:016x}", XXH3_64bits(key.data(), key.size()));
  std::string text = storable_text(key.substr(0, kLongestKey / 4)) + mark;
  return text;
}

std::uint64_t Quarantine::hash_of(std::string_view table, std::string_view key) {
  return XXH3_64bits_withSeed(key.data(), key.size(), XXH3_64bits(table.data(), table.size()));
}

void Quarantine::load(Connection& connection) {
  entries_.clear();
  accepted_.clear();
  rolled_back();
  const Result result = connection.exec(kSelectOpen, {mapping_.bridge, store_});
  for (int row = 0; row < result.rows(); ++row) {
    const std::uint64_t hash = hash_of(result.text(row, 0), result.text(row, 1));
    entries_.insert(hash);
    if (result.boolean(row, 2)) accepted_.insert(hash);
  }
}

void Quarantine::note_key(const TableMap& table, const Chunk& chunk, std::span<const Cell> key) {
  Entry entry{plain_name(table), storable_key(key_text(chunk, key)), {}, {}, false};
  if (entries_.contains(hash_of(entry.table, entry.key))) ended_.push_back(std::move(entry));
}

void Quarantine::note_applied(const Chunk& chunk, const Change& change) {
  if (entries_.empty()) return;
  const TableMap& table = mapping_.table(change.table);
  if (change.op == Op::kTruncate) {
    cleared_.push_back(plain_name(table));
    return;
  }
  note_key(table, chunk, chunk.row(change).first(table.key_width));
  if (change.old_key != Change::kNone) {
    note_key(table, chunk, chunk.old_key(change, table.key_width));
  }
}

void Quarantine::send_ended(Pipeline& pipeline, std::span<const Entry> ended) {
  pipeline.send(
      kEnd, {mapping_.bridge, store_, column(ended, &Entry::table), column(ended, &Entry::key)});
}

void Quarantine::send_new(Pipeline& pipeline, std::span<const Entry> entries) {
  std::vector<std::string> accepted;
  for (const Entry& entry : entries) accepted.emplace_back(entry.accepted ? "t" : "f");
  pipeline.send(kUpsert, {mapping_.bridge, store_, column(entries, &Entry::table),
                          column(entries, &Entry::key), column(entries, &Entry::reason),
                          column(entries, &Entry::sqlstate), text_array(accepted)});
}

void Quarantine::send(Pipeline& pipeline, std::span<const Reject> rejects) {
  const auto in_parts = [](const std::vector<Entry>& all, const auto& each) {
    for (std::size_t at = 0; at < all.size(); at += kMostPerStatement) {
      each(std::span(all).subspan(at, std::min(kMostPerStatement, all.size() - at)));
    }
  };
  // First what ended, then what is new: a key may be both, and then it stays.
  if (!cleared_.empty()) {
    pipeline.send(kEndTables, {mapping_.bridge, store_, text_array(cleared_)});
  }
  in_parts(ended_, [&](std::span<const Entry> part) { send_ended(pipeline, part); });
  std::map<std::pair<std::string, std::string>, Entry> last;  // the same key once, its last reason
  for (const Reject& reject : rejects) {
    Entry entry{plain_name(mapping_.table(reject.table)), storable_key(reject.key),
                storable_text(reject.reason), storable_text(reject.sqlstate), reject.accepted};
    written_.emplace_back(hash_of(entry.table, entry.key), entry.accepted);
    last.insert_or_assign({entry.table, entry.key}, std::move(entry));
  }
  std::vector<Entry> entries;
  for (auto& [key, entry] : last) entries.push_back(std::move(entry));
  in_parts(entries, [&](std::span<const Entry> part) { send_new(pipeline, part); });
}

void Quarantine::committed(Connection& connection) {
  if (!cleared_.empty()) {
    load(connection);
    return;
  }
  for (const Entry& entry : ended_) {
    entries_.erase(hash_of(entry.table, entry.key));
    accepted_.erase(hash_of(entry.table, entry.key));
  }
  for (const auto& [hash, accepted] : written_) {
    entries_.insert(hash);
    accepted ? void(accepted_.insert(hash)) : void(accepted_.erase(hash));
  }
  rolled_back();
}

void Quarantine::rolled_back() {
  ended_.clear();
  cleared_.clear();
  written_.clear();
}

std::vector<QuarantineEntry> read_quarantine(Connection& connection, const Mapping& mapping) {
  const Result found = connection.exec(kSelectAll, {mapping.bridge});
  std::vector<QuarantineEntry> entries;
  for (int row = 0; row < found.rows(); ++row) {
    QuarantineEntry entry{.table = {},
                          .name = found.string(row, 0),
                          .key = found.string(row, 1),
                          .reason = found.string(row, 2),
                          .sqlstate = found.string(row, 3),
                          .since = found.string(row, 4),
                          .accepted = found.boolean(row, 5)};
    entry.table = find_qualified(mapping, entry.name);
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace switchback
