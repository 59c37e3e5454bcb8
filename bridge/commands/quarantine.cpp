// `switchback quarantine`: list and show read both sides themselves; retry, accept and drop go
// through the running sidecar, or, when none runs, through a supervisor of their own.
#include "bridge/quarantine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bridge/admin_client.h"
#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/signals.h"
#include "bridge/site.h"
#include "bridge/verify/columns.h"
#include "state/base/json_text.h"

namespace switchback {
namespace {

// Thousands of entries take a while.
constexpr std::chrono::minutes kQuarantineLimit{10};
constexpr std::size_t kMostShown = 10;

struct Entry {
  Side refused_by = Side::kPostgres;
  QuarantineEntry entry;
};

std::vector<Entry> read_entries(const Site& site, const QuarantineFilter& filter) {
  std::vector<Entry> entries;
  for (const Side side : {Side::kPostgres, Side::kOld}) {
    for (QuarantineEntry& entry : site.of(side).quarantine()) {
      if (filter.matches(entry)) entries.push_back({side, std::move(entry)});
    }
  }
  return entries;
}

std::string key_argument(const std::string& key) {
  const bool alone = key.starts_with("[\"") && key.ends_with("\"]");
  const std::string inner = alone ? key.substr(2, key.size() - 4) : "";
  return !inner.empty() && shell_word(inner) == inner ? inner : shell_word(key);
}

std::string which(const QuarantineEntry& entry) {
  return fmt::format("--table {} --key {}", entry.name, key_argument(entry.key));
}

void write_entry(JsonWriter& json, const Entry& one) {
  json.member("table", one.entry.name)
      .member("key", one.entry.key)
      .member("refused_by", to_string(one.refused_by))
      .member("reason", one.entry.reason)
      .member("sqlstate", one.entry.sqlstate)
      .member("since", one.entry.since)
      .member("accepted", one.entry.accepted)
      .member("held", one.entry.held);
}

std::string headline(const Entry& one) {
  const QuarantineEntry& entry = one.entry;
  return fmt::format("{} {}  {} by {} since {}{}", entry.name, entry.key,
                     entry.held ? "held back" : "refused", to_string(one.refused_by), entry.since,
                     entry.accepted ? ", accepted" : "");
}

// ---- list

ExitCode list(const Site& site, const QuarantineFilter& filter, bool as_json) {
  const auto entries = read_entries(site, filter);
  if (as_json) {
    JsonWriter json;
    json.begin_object().key("entries").begin_array();
    for (const Entry& one : entries) {
      json.begin_object();
      write_entry(json, one);
      json.end_object();
    }
    fmt::print("{}\n", json.end_array().end_object().take());
    return ExitCode::kDone;
  }
  if (entries.empty()) fmt::print("nothing is in quarantine\n");
  for (const Entry& one : entries) {
    fmt::print("{}\n    {}\n", headline(one), one.entry.reason);
  }
  if (!entries.empty()) {
    fmt::print("what can be done: switchback quarantine show {}\n", which(entries.front().entry));
  }
  return ExitCode::kDone;
}

// ---- show

/// What one side has under a key, by column; empty if it has no such row.
struct Seen {
  std::string why_not;  // it could not be read, or cannot be expressed
  Chunk chunk;
  std::span<const Cell> row;
};

void look(const Site& site, Side side, const TableMap& table, const Chunk& keys, Seen& seen) {
  const auto key = keys.row(keys.changes().front());
  if (side == Side::kPostgres && !can_be_fetched(table, key, keys)) return;
  site.of(side).make_reader()->fetch(table.id, keys, seen.chunk);
  const Change& change = seen.chunk.changes().front();
  if (change.op == Op::kMisfit) seen.why_not = seen.chunk.text(change.reason);
  if (change.op == Op::kUpsert) seen.row = seen.chunk.row(change);
}

struct BothSides {
  bool named = false;  // the key can be asked for
  Seen old_side, postgres;
};

std::string words_for(const Seen& seen) {
  if (!seen.why_not.empty()) return "cannot be expressed: " + seen.why_not;
  return seen.row.empty() ? "no such row" : "";
}

void look_at_both(const Site& site, const QuarantineEntry& entry, BothSides& both) {
  if (!entry.table) return;
  const TableMap& table = site.mapping->table(*entry.table);
  Chunk keys;
  both.named = add_key_of(table, entry.key, keys);
  if (!both.named) return;
  look(site, Side::kOld, table, keys, both.old_side);
  look(site, Side::kPostgres, table, keys, both.postgres);
}

void print_columns(const TableMap& table, const BothSides& both) {
  fmt::print("  old:      {}\n  postgres: {}\n", words_for(both.old_side),
             words_for(both.postgres));
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const auto& [a, b] = std::pair(both.old_side.row, both.postgres.row);
    const Cell none = Cell::null();
    const auto words = value_words(a.empty() ? none : a[i], both.old_side.chunk,
                                   b.empty() ? none : b[i], both.postgres.chunk);
    fmt::print("    {:<24} {:<32} {}\n", table.columns[i].name, a.empty() ? "-" : words.first,
               b.empty() ? "-" : words.second);
  }
}

void print_next(const QuarantineEntry& entry) {
  const std::string these = which(entry);
  fmt::print(
      "  what can be done:\n"
      "    change the row on the primary: the change comes over by itself and ends the entry\n"
      "    mend the cause on the other side, then\n"
      "    switchback quarantine retry {0}\n"
      "    leave the other side's row as it is: switchback quarantine accept {0}\n"
      "    delete the other side's row: switchback quarantine drop {0}\n",
      these);
}

void print_next_of_held(const QuarantineEntry& entry) {
  fmt::print(
      "  what can be done:\n"
      "    put the records back into the file: the entry ends by itself\n"
      "    let it through, as the file stands then: switchback quarantine accept {}\n",
      which(entry));
}

void write_row(JsonWriter& json, const char* side, const TableMap& table, const Seen& seen) {
  json.key(side);
  if (seen.row.empty()) {
    seen.why_not.empty() ? json.null() : json.value(words_for(seen));
    return;
  }
  json.begin_object();
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const Cell& cell = seen.row[i];
    json.member(table.columns[i].name, value_words(cell, seen.chunk, cell, seen.chunk).first);
  }
  json.end_object();
}

void show_as_json(const Site& site, const std::vector<Entry>& entries) {
  JsonWriter json;
  json.begin_object().key("entries").begin_array();
  for (const Entry& one : entries) {
    BothSides both;
    look_at_both(site, one.entry, both);
    json.begin_object();
    write_entry(json, one);
    if (both.named) {
      const TableMap& table = site.mapping->table(*one.entry.table);
      write_row(json, "old", table, both.old_side);
      write_row(json, "postgres", table, both.postgres);
    }
    json.end_object();
  }
  fmt::print("{}\n", json.end_array().end_object().take());
}

[[noreturn]] void fail_no_entry() {
  throw Error(ErrorKind::kRefused, Retry::kNever, "no such row is in quarantine",
              {.next = "switchback quarantine list"});
}

ExitCode show(const Site& site, const QuarantineFilter& filter, bool as_json) {
  auto entries = read_entries(site, filter);
  if (entries.empty()) fail_no_entry();
  const std::size_t all = entries.size();
  entries.resize(std::min(all, kMostShown));
  if (as_json) {
    show_as_json(site, entries);
    return ExitCode::kDone;
  }
  for (const Entry& one : entries) {
    fmt::print("{}\n  reason: {}\n", headline(one), one.entry.reason);
    if (one.entry.held) {
      print_next_of_held(one.entry);
      continue;
    }
    BothSides both;
    look_at_both(site, one.entry, both);
    if (both.named) {
      print_columns(site.mapping->table(*one.entry.table), both);
      print_next(one.entry);
    }
  }
  if (all > kMostShown) fmt::print("and {} more: name a --key\n", all - kMostShown);
  return ExitCode::kDone;
}

// ---- retry, accept, drop

QuarantineAction action_of(QuarantineVerb verb) {
  switch (verb) {
    case QuarantineVerb::kAccept:
      return QuarantineAction::kAccept;
    case QuarantineVerb::kDrop:
      return QuarantineAction::kDrop;
    case QuarantineVerb::kRetry:
    case QuarantineVerb::kList:
    case QuarantineVerb::kShow:
      return QuarantineAction::kRetry;
  }
  return QuarantineAction::kRetry;
}

std::vector<QuarantineResult> act_alone(const Config& config, const QuarantineOrder& order) {
  require_installed(config);
  StopOnSignal stop;
  Supervisor supervisor(config);
  supervisor.start(stop.token());
  if (stop.token().stop_requested()) {
    throw Error(ErrorKind::kRefused, Retry::kNever, "stopped before anything was done");
  }
  return act_on_quarantine(supervisor, order);
}

void print_results(const std::vector<QuarantineResult>& results) {
  for (const auto& result : results) {
    fmt::print("{} {}: {}\n", result.table, result.key, result.what);
  }
}

ExitCode act(const Config& config, const QuarantineOptions& options) {
  if (!options.all && (options.table.empty() || options.key.empty())) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "this does not say which entries are meant",
                {.next = "name --table and --key as `switchback quarantine list` shows them, or "
                         "say --all"});
  }
  const QuarantineOrder order{action_of(options.verb), {options.table, options.key}, who_asks()};
  const auto question = "Deletes the rows of these entries on the side that is not primary. Go on?";
  const bool asks = order.action == QuarantineAction::kDrop && !options.yes;
  if (asks && !confirmed(question)) return ExitCode::kNo;
  const auto sidecar = AdminClient::find(config.state_dir);
  const auto results =
      sidecar
          ? parse_quarantine_results(sidecar->post("/quarantine", to_json(order), kQuarantineLimit))
          : act_alone(config, order);
  if (results.empty() && !options.all) fail_no_entry();
  if (options.json) {
    fmt::print("{}\n", to_json(results));
  } else if (results.empty()) {
    fmt::print("nothing is in quarantine\n");
  } else {
    print_results(results);
  }
  const bool all_done =
      std::all_of(results.begin(), results.end(), [](const auto& result) { return result.done; });
  return all_done ? ExitCode::kDone : ExitCode::kNo;
}

}  // namespace

ExitCode quarantine_command(const GlobalOptions& global, const QuarantineOptions& options) {
  const Config config = read_config(global);
  const QuarantineFilter filter{options.table, options.key};
  switch (options.verb) {
    case QuarantineVerb::kList:
      return list(open_site(config, SchemaUse::kTry), filter, options.json);
    case QuarantineVerb::kShow:
      return show(open_site(config, SchemaUse::kTry), filter, options.json);
    case QuarantineVerb::kRetry:
    case QuarantineVerb::kAccept:
    case QuarantineVerb::kDrop:
      return act(config, options);
  }
  return ExitCode::kNo;
}

}  // namespace switchback
