#include "bridge/quarantine.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>

#include "bridge/reapply.h"
#include "state/base/json_text.h"

namespace switchback {
namespace {

// The stream waits as long as one part takes.
constexpr std::size_t kMostInPart = 256;

constexpr std::array kActions{QuarantineAction::kRetry, QuarantineAction::kAccept,
                              QuarantineAction::kDrop};

using EntryName = std::pair<std::string, std::string>;

EntryName name_of(const QuarantineEntry& entry) {
  return {entry.name, entry.key};
}

struct Part {
  std::vector<QuarantineEntry> entries;
  std::vector<QuarantineResult> results;
};

std::string detail_of(const std::vector<QuarantineEntry>& entries) {
  JsonWriter json;
  json.begin_array();
  for (const auto& entry : entries) {
    json.begin_object()
        .member("table", entry.name)
        .member("key", entry.key)
        .member("reason", entry.reason)
        .end_object();
  }
  json.end_array();
  return json.take();
}

/// Why nothing can be done for an entry whose row cannot be named; empty if it can be.
std::string unnameable(const Mapping& mapping, const QuarantineEntry& entry, Chunk& keys) {
  if (!entry.table) return "this is about no mapped table: mend what the reason names";
  if (add_key_of(mapping.table(*entry.table), entry.key, keys)) return {};
  return "its key was too long to be kept whole: change the row on the primary, and it comes again";
}

/// What the sink turned away, by key.
std::map<std::pair<TableId, std::string>, std::string> reasons_of(
    const std::vector<Reject>& rejects) {
  std::map<std::pair<TableId, std::string>, std::string> reasons;
  for (const Reject& reject : rejects) reasons[{reject.table, reject.key}] = reject.reason;
  return reasons;
}

void report(Part& part, const std::vector<Reject>& rejects, const std::string& success,
            const std::string& failure) {
  const auto reasons = reasons_of(rejects);
  for (const auto& entry : part.entries) {
    const auto refused = reasons.find({*entry.table, entry.key});
    const bool done = refused == reasons.end();
    part.results.push_back(
        {entry.name, entry.key, done, done ? success : failure + refused->second});
  }
}

std::vector<Reject> accepted(const std::vector<QuarantineEntry>& entries) {
  std::vector<Reject> rejects;
  for (const auto& entry : entries) {
    rejects.push_back({*entry.table, entry.key, entry.reason, entry.sqlstate, true});
  }
  return rejects;
}

void drop(Part& part, Chunk& keys, const Position& applied, ChangeSink& sink) {
  std::vector<Reject> rejects;
  keys.boundary = applied;
  sink.apply(keys, rejects);
  const auto reasons = reasons_of(rejects);
  std::vector<QuarantineEntry> gone;
  for (const auto& entry : part.entries) {
    if (!reasons.contains({*entry.table, entry.key})) gone.push_back(entry);
  }
  std::vector<Reject> book = rejects;
  for (Reject& reject : accepted(gone)) book.push_back(std::move(reject));
  sink.commit(applied, book);
  report(part, rejects, "deleted on the other side; the entry blocks no flip any more",
         "could not be deleted on the other side: ");
}

void act(QuarantineAction action, Part& part, Chunk& keys, const Position& applied,
         Pump::Parts& parts) {
  switch (action) {
    case QuarantineAction::kRetry:
      report(part, reapply(keys, applied, *parts.make_reader(), *parts.sink).rejects,
             "applied as the primary has it now", "still refused: ");
      return;
    case QuarantineAction::kAccept:
      parts.sink->commit(applied, accepted(part.entries));
      report(part, {}, "accepted as it is; the entry blocks no flip any more", "");
      return;
    case QuarantineAction::kDrop:
      drop(part, keys, applied, *parts.sink);
      return;
  }
}

/// Of the entries that are still in the book, those named.
std::vector<QuarantineEntry> still_there(Endpoint& side, const std::vector<EntryName>& wanted) {
  std::vector<QuarantineEntry> found;
  for (QuarantineEntry& entry : side.quarantine()) {
    if (std::find(wanted.begin(), wanted.end(), name_of(entry)) != wanted.end()) {
      found.push_back(std::move(entry));
    }
  }
  return found;
}

std::vector<QuarantineResult> act_on_part(Supervisor& supervisor, const QuarantineOrder& order,
                                          std::vector<EntryName> wanted) {
  const auto site = supervisor.site();
  const Side side = other(supervisor.picture().primary);
  auto part = std::make_shared<Part>();
  // It owns what it uses: it may run after nobody waits for it any more.
  supervisor.with_pump([=, &supervisor](Pump::Parts& parts, const Position& applied) {
    Chunk keys;
    // A change may have come meanwhile, and ended an entry.
    for (QuarantineEntry& entry : still_there(site->of(side), wanted)) {
      std::string why_not = unnameable(*site->mapping, entry, keys);
      if (why_not.empty()) {
        part->entries.push_back(std::move(entry));
      } else {
        part->results.push_back({entry.name, entry.key, false, std::move(why_not)});
      }
    }
    if (part->entries.empty()) return;
    supervisor.note({fmt::format("quarantine {}", to_string(order.action)), order.by,
                     detail_of(part->entries)});
    act(order.action, *part, keys, applied, parts);
  });
  return std::move(part->results);
}

// A held change is not a row that was refused: to accept it is to let it through.
QuarantineResult act_on_held(Supervisor& supervisor, const QuarantineOrder& order,
                             const QuarantineEntry& entry) {
  const auto result = [&](bool done, std::string what) {
    return QuarantineResult{entry.name, entry.key, done, std::move(what)};
  };
  switch (order.action) {
    case QuarantineAction::kRetry:
      return result(false, "still held: " + entry.reason);
    case QuarantineAction::kDrop:
      return result(false,
                    "a change that is held cannot be dropped: put the records back into the "
                    "file, and it ends by itself; or accept it");
    case QuarantineAction::kAccept:
      break;
  }
  if (order.filter.key.empty()) {
    return result(false,
                  "held: what deletes so much is let through by its name only, with --table "
                  "and --key");
  }
  const auto site = supervisor.site();
  const Side primary = supervisor.picture().primary;
  auto answer = std::make_shared<QuarantineResult>();
  const auto let_through = [=, &supervisor] {
    supervisor.note({"quarantine accept", order.by, detail_of({entry})});
    try {
      site->of(primary).let_through(entry);
      *answer = result(true, "let through: the rows go on the other side, too");
    } catch (const Error& error) {
      *answer = result(false, error.what());
    }
  };
  if (supervisor.picture().pump.state == PumpState::kStopped) {
    let_through();  // `doctor --fix` waits for it, and nothing flows before
  } else {
    // Between two batches of the pump, which then finds what was let through at once.
    supervisor.with_pump([=](Pump::Parts&, const Position&) { let_through(); });
  }
  return *answer;
}

std::string key_as_entry_has_it(const std::string& key) {
  if (key.starts_with('[')) return key;
  std::string text = "[";
  append_json_string(text, key);
  return text + "]";
}

[[noreturn]] void fail_order(const char* what) {
  throw Error(
      ErrorKind::kUsage, Retry::kNever, what,
      {.next =
           R"(send {"action":"retry","table":"public.t","key":"[\"42\"]"}; both may be empty)"});
}

}  // namespace

std::string_view to_string(QuarantineAction action) noexcept {
  switch (action) {
    case QuarantineAction::kRetry:
      return "retry";
    case QuarantineAction::kAccept:
      return "accept";
    case QuarantineAction::kDrop:
      return "drop";
  }
  return "unknown";
}

std::string quarantine_needs_you(std::uint64_t open) {
  return fmt::format(
      "{} rows are in quarantine, and a flip waits for them: `switchback quarantine list` says "
      "which and why",
      open);
}

std::string shell_word(std::string text) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-' || c == '.' || c == ':' || c == '@' || c == '/';
  };
  if (!text.empty() && text.front() != '-' && std::all_of(text.begin(), text.end(), plain)) {
    return text;
  }
  for (std::size_t at = 0; (at = text.find('\'', at)) != text.npos; at += 4) {
    text.replace(at, 1, R"('\'')");
  }
  return "'" + text + "'";
}

std::string trouble_cure(const SourceTrouble& trouble) {
  if (!trouble.held) return "mend it on the primary";
  return "put the records back, or, if it is meant, let it through: `switchback quarantine accept "
         "--table file --key " +
         shell_word(trouble.what) + "`";
}

bool QuarantineFilter::matches(const QuarantineEntry& entry) const {
  const bool same_table = table.empty() || entry.name == table || entry.name.ends_with("." + table);
  return same_table && (key.empty() || entry.key == key_as_entry_has_it(key));
}

std::vector<QuarantineResult> act_on_quarantine(Supervisor& supervisor,
                                                const QuarantineOrder& order) {
  const auto site = supervisor.site();
  if (!site) {
    throw Error(ErrorKind::kBusy, Retry::kLater, "the sidecar is only just starting",
                {.next = "wait until `switchback status` shows forward or reverse"});
  }
  std::vector<EntryName> wanted;
  for (const auto& entry : site->of(other(supervisor.picture().primary)).quarantine()) {
    const bool again = entry.accepted && order.action == QuarantineAction::kAccept;
    if (!again && order.filter.matches(entry)) wanted.push_back(name_of(entry));
  }
  std::vector<QuarantineResult> results;
  for (const auto& entry : site->of(supervisor.picture().primary).quarantine()) {
    if (entry.held && order.filter.matches(entry)) {
      results.push_back(act_on_held(supervisor, order, entry));
    }
  }
  for (std::size_t at = 0; at < wanted.size(); at += kMostInPart) {
    const auto begin = wanted.begin() + static_cast<std::ptrdiff_t>(at);
    const auto size = static_cast<std::ptrdiff_t>(std::min(kMostInPart, wanted.size() - at));
    auto part = act_on_part(supervisor, order, {begin, begin + size});
    std::move(part.begin(), part.end(), std::back_inserter(results));
  }
  return results;
}

std::string to_json(const QuarantineOrder& order) {
  JsonWriter json;
  json.begin_object()
      .member("action", to_string(order.action))
      .member("table", order.filter.table)
      .member("key", order.filter.key)
      .member("by", order.by)
      .end_object();
  return json.take();
}

QuarantineOrder parse_quarantine_order(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::object root;
  if (parser.parse(text.data(), text.size()).get(root)) fail_order("the body is no JSON object");
  QuarantineOrder order;
  bool has_action = false;
  for (const auto& [member, value] : root) {
    std::string_view word;
    if (value.get(word)) fail_order("every member is a string");
    if (member == "action") {
      const auto known = std::find_if(kActions.begin(), kActions.end(),
                                      [&](auto action) { return to_string(action) == word; });
      if (known == kActions.end()) fail_order("\"action\" is retry, accept or drop");
      order.action = *known;
      has_action = true;
    } else if (member == "table") {
      order.filter.table = word;
    } else if (member == "key") {
      order.filter.key = word;
    } else if (member == "by") {
      order.by = word;
    } else {
      fail_order("the body has an unknown member");
    }
  }
  if (!has_action) fail_order("\"action\" is missing");
  return order;
}

std::string to_json(const std::vector<QuarantineResult>& results) {
  JsonWriter json;
  json.begin_object().key("entries").begin_array();
  for (const auto& result : results) {
    json.begin_object()
        .member("table", result.table)
        .member("key", result.key)
        .member("done", result.done)
        .member("what", result.what)
        .end_object();
  }
  json.end_array().end_object();
  return json.take();
}

std::vector<QuarantineResult> parse_quarantine_results(std::string_view text) {
  const auto fail = [] {
    return Error(ErrorKind::kInternal, Retry::kNever, "the sidecar's answer is not understood",
                 {.next = "use the same version for the sidecar and the command"});
  };
  simdjson::dom::parser parser;
  simdjson::dom::array entries;
  if (parser.parse(text.data(), text.size())["entries"].get(entries)) throw fail();
  std::vector<QuarantineResult> results;
  for (const simdjson::dom::element entry : entries) {
    std::string_view table, key, what;
    QuarantineResult result;
    if (entry["table"].get(table) || entry["key"].get(key) || entry["what"].get(what) ||
        entry["done"].get(result.done)) {
      throw fail();
    }
    result.table = table;
    result.key = key;
    result.what = what;
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace switchback
