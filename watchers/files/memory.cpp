#include "watchers/files/memory.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "state/base/error.h"

namespace switchback {
namespace {

constexpr std::uint32_t kNone = ElementMemory::kNone;
constexpr char kFormat = 1;

[[noreturn]] void fail_without_identity() {
  throw Error(ErrorKind::kInternal, Retry::kNever,
              "a record whose elements are all known has one that is not");
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  template <class Number>
  void number(Number value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
  }
  void text(const std::string& value) {
    number(static_cast<std::uint32_t>(value.size()));
    out_ += value;
  }

 private:
  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <class Number>
  Number number() {
    Number value{};
    if (rest_.size() < sizeof value) fail();
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string text() {
    const auto size = number<std::uint32_t>();
    if (rest_.size() < size) fail();
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  bool done() const { return rest_.empty(); }
  [[noreturn]] static void fail() {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a record's memory in the ledger is broken");
  }

 private:
  std::string_view rest_;
};

/// The longest chain of matched elements that kept their order, as flags over `now`.
std::vector<bool> kept_order(const std::vector<std::int64_t>& values,
                             const std::vector<bool>& has) {
  std::vector<std::size_t> tails;  // index of the last element of the best chain of each length
  std::vector<std::size_t> before(values.size(), SIZE_MAX);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!has[i]) continue;
    const auto at =
        std::lower_bound(tails.begin(), tails.end(), values[i],
                         [&](std::size_t tail, std::int64_t v) { return values[tail] < v; });
    if (at != tails.begin()) before[i] = *(at - 1);
    if (at == tails.end()) {
      tails.push_back(i);
    } else {
      *at = i;
    }
  }
  std::vector<bool> kept(values.size(), false);
  for (std::size_t i = tails.empty() ? SIZE_MAX : tails.back(); i != SIZE_MAX; i = before[i]) {
    kept[i] = true;
  }
  return kept;
}

}  // namespace

std::string RecordMemory::serialize() const {
  std::string out;
  if (elements.empty()) return out;
  out += kFormat;
  Writer writer(out);
  for (const ElementMemory& element : elements) {
    writer.number(element.level);
    writer.number(element.parent);
    writer.number(element.mark.hash.high);
    writer.number(element.mark.hash.low);
    writer.number(static_cast<std::uint8_t>((element.mark.own_key ? 1 : 0) |
                                            (element.made.serial ? 2 : 0) |
                                            (element.made.place ? 4 : 0)));
    writer.text(element.made.uuid);
    writer.text(element.made.hash);
    if (element.made.serial) writer.number(*element.made.serial);
    if (element.made.place) writer.number(*element.made.place);
  }
  return out;
}

RecordMemory RecordMemory::parse(std::string_view bytes) {
  RecordMemory memory;
  if (bytes.empty()) return memory;
  Reader reader(bytes);
  if (reader.number<char>() != kFormat) Reader::fail();
  while (!reader.done()) {
    ElementMemory element;
    element.level = reader.number<std::uint16_t>();
    element.parent = reader.number<std::uint32_t>();
    element.mark.hash.high = reader.number<std::uint64_t>();
    element.mark.hash.low = reader.number<std::uint64_t>();
    const auto flags = reader.number<std::uint8_t>();
    element.mark.own_key = (flags & 1) != 0;
    element.made.uuid = reader.text();
    element.made.hash = reader.text();
    if ((flags & 2) != 0) element.made.serial = reader.number<std::int64_t>();
    if ((flags & 4) != 0) element.made.place = reader.number<std::int64_t>();
    const bool first = memory.elements.empty();
    if (first != (element.parent == kNone) ||
        (!first && element.parent >= memory.elements.size())) {
      Reader::fail();
    }
    memory.elements.push_back(std::move(element));
  }
  return memory;
}

std::vector<std::uint32_t> align(const std::vector<Mark>& before, const std::vector<Mark>& now) {
  std::vector<std::uint32_t> out(now.size(), kNone);
  std::vector<bool> taken(before.size(), false);
  const auto pair = [&](std::size_t old, std::size_t fresh) {
    out[fresh] = static_cast<std::uint32_t>(old);
    taken[old] = true;
  };
  // Most lists are as they were at both ends.
  std::size_t front = 0;
  while (front < before.size() && front < now.size() && before[front] == now[front]) {
    pair(front, front);
    ++front;
  }
  std::size_t old_end = before.size(), end = now.size();
  while (old_end > front && end > front && before[old_end - 1] == now[end - 1]) {
    pair(--old_end, --end);
  }
  std::map<Hash128, std::vector<std::uint32_t>> by_mark;  // the earliest last
  for (std::size_t i = old_end; i-- > front;) {
    by_mark[before[i].hash].push_back(static_cast<std::uint32_t>(i));
  }
  for (std::size_t i = front; i < end; ++i) {
    const auto found = by_mark.find(now[i].hash);
    if (found == by_mark.end() || found->second.empty()) continue;
    pair(found->second.back(), i);
    found->second.pop_back();
  }
  // What is left between two that were recognised in order is taken pairwise: edited in place. A
  // list that grew at its front is paired from the back.
  std::size_t old_at = front;
  for (std::size_t i = front; i < end;) {
    if (out[i] != kNone) {
      old_at = std::max(old_at, std::size_t{out[i++]} + 1);
      continue;
    }
    std::size_t gap_end = i;
    while (gap_end < end && out[gap_end] == kNone) ++gap_end;
    std::vector<std::size_t> olds, fresh;
    const std::size_t old_limit = gap_end < end ? std::size_t{out[gap_end]} : old_end;
    for (std::size_t old = old_at; old < old_limit; ++old) {
      if (!taken[old] && !before[old].own_key) olds.push_back(old);
    }
    for (std::size_t n = i; n < gap_end; ++n) {
      if (!now[n].own_key) fresh.push_back(n);
    }
    const bool from_back = i == 0 && gap_end < now.size();
    const std::size_t count = std::min(olds.size(), fresh.size());
    for (std::size_t n = 0; n < count; ++n) {
      pair(from_back ? olds[olds.size() - 1 - n] : olds[n],
           from_back ? fresh[fresh.size() - 1 - n] : fresh[n]);
    }
    i = gap_end;
  }
  return out;
}

void number_places(std::vector<std::optional<std::int64_t>>& places) {
  std::vector<std::int64_t> values;
  std::vector<bool> has;
  for (const auto& place : places) {
    values.push_back(place.value_or(0));
    has.push_back(place.has_value());
  }
  std::vector<bool> kept = kept_order(values, has);
  std::size_t i = 0;
  while (i < places.size() && !kept[i]) ++i;
  if (i == places.size()) {
    for (std::size_t n = 0; n < places.size(); ++n) places[n] = static_cast<std::int64_t>(n);
    return;
  }
  for (std::size_t n = i; n-- > 0;) places[n] = *places[n + 1] - 1;
  for (std::size_t at = i + 1; at < places.size(); ++at) {
    if (kept[at] && *places[at] > *places[at - 1]) continue;
    places[at] = *places[at - 1] + 1;
  }
}

std::string NoNewIdentities::new_uuid() {
  fail_without_identity();
}

std::int64_t NoNewIdentities::next_serial(std::uint16_t, std::uint16_t) {
  fail_without_identity();
}

}  // namespace switchback
