#include "bridge/config_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>
#include <sstream>

#include "state/base/error.h"

namespace switchback {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string_view type_word(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::none:
      return "nothing";
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
  }
  return "something else";
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) out += i + 1 == words.size() ? " or " : ", ";
    out += fmt::format("\"{}\"", words[i]);
  }
  return out;
}

}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = word.size() / 3 + 2;  // farther than this is another word
  for (const auto& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  std::int64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (result.ec != std::errc() || number < 0 || number > 1'000'000'000) return std::nullopt;
  const std::string_view unit(result.ptr, static_cast<std::size_t>(end - result.ptr));
  if (unit == "ms") return std::chrono::milliseconds(number);
  if (unit == "s") return std::chrono::seconds(number);
  if (unit == "m") return std::chrono::minutes(number);
  if (unit == "h") return std::chrono::hours(number);
  return std::nullopt;
}

std::string ConfigReader::key_name(std::string_view key) const {
  if (key.empty()) return path_.empty() ? "the configuration" : fmt::format("[{}]", path_);
  return path_.empty() ? std::string(key) : fmt::format("[{}] {}", path_, key);
}

int ConfigReader::line_of(std::string_view key) const {
  if (const toml::node* node = table_->get(key)) {
    return static_cast<int>(node->source().begin.line);
  }
  return line();
}

void ConfigReader::fail(std::string_view key, const std::string& what,
                        const std::string& next) const {
  throw Error(ErrorKind::kUsage, Retry::kNever, fmt::format("{}: {}", key_name(key), what),
              {.object = fmt::format("{}:{}", file_, line_of(key)), .next = next});
}

void ConfigReader::wrong_type(std::string_view key, std::string_view expected) const {
  const toml::node* node = table_->get(key);
  std::ostringstream text;
  if (node->is_value())
    node->visit([&](const auto& n) {
      if constexpr (toml::is_value<decltype(n)>) text << ' ' << n;
    });
  fail(key, fmt::format("expected {}, found {}{}", expected, type_word(*node), text.str()));
}

void ConfigReader::allow(const std::vector<std::string>& known,
                         const std::vector<std::string>& later) const {
  for (const auto& [key, node] : *table_) {
    const std::string name(key.str());
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (std::find(later.begin(), later.end(), name) != later.end()) {
      fail(name, "not in this version yet", "take it out");
    }
    const std::string near = nearest_word(name, known);
    fail(name, "unknown key",
         near.empty() ? fmt::format("known here: {}", fmt::join(known, ", "))
                      : fmt::format("did you mean \"{}\"?", near));
  }
}

std::optional<std::string> ConfigReader::string(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_string()) wrong_type(key, "a string");
  std::string text = node->as_string()->get();
  if (text.empty()) fail(key, "expected a string that is not empty");
  if (text.find('\0') != text.npos) fail(key, "a NUL character cannot be meant");
  return text;
}

std::optional<bool> ConfigReader::boolean(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_boolean()) wrong_type(key, "true or false");
  return node->as_boolean()->get();
}

std::optional<std::int64_t> ConfigReader::number(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_integer()) wrong_type(key, "a whole number");
  return node->as_integer()->get();
}

std::optional<std::chrono::milliseconds> ConfigReader::duration(std::string_view key) const {
  const auto text = string(key);
  if (!text) return std::nullopt;
  const auto span = parse_duration(*text);
  if (!span) {
    fail(key, fmt::format(
                  "expected a duration such as \"500ms\", \"2s\", \"10m\" or \"1h\", found \"{}\"",
                  *text));
  }
  return span;
}

std::optional<std::string> ConfigReader::text(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_string()) wrong_type(key, "a string");
  if (node->as_string()->get().empty()) return std::string();
  return string(key);
}

std::optional<std::vector<std::string>> ConfigReader::strings(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node != nullptr && node->is_string()) return std::vector{*string(key)};
  return texts(key);
}

std::optional<std::vector<std::string>> ConfigReader::texts(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (node->is_string()) return std::vector{*text(key)};
  const toml::array* list = node->as_array();
  if (list == nullptr) wrong_type(key, "a string or a list of strings");
  std::vector<std::string> out;
  for (const toml::node& item : *list) {
    if (!item.is_string()) {
      fail(key, fmt::format("expected a list of strings, found {} in it", type_word(item)));
    }
    out.push_back(item.as_string()->get());
  }
  return out;
}

std::optional<std::size_t> ConfigReader::word(std::string_view key,
                                              const std::vector<std::string>& words) const {
  const auto text = string(key);
  if (!text) return std::nullopt;
  const auto found = std::find(words.begin(), words.end(), *text);
  if (found == words.end()) {
    fail(key, fmt::format("expected {}, found \"{}\"", quoted_list(words), *text));
  }
  return static_cast<std::size_t>(found - words.begin());
}

std::optional<ConfigReader> ConfigReader::sub(std::string_view key) const {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_table()) wrong_type(key, "a table");
  const std::string name(key);
  return ConfigReader(*node->as_table(), file_, path_.empty() ? name : path_ + "." + name);
}

std::vector<std::pair<std::string, ConfigReader>> ConfigReader::subs() const {
  std::vector<std::pair<std::string, ConfigReader>> out;
  for (const auto& [key, node] : *table_) {
    out.emplace_back(std::string(key.str()), *sub(key.str()));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.second.line() < b.second.line(); });
  return out;
}

}  // namespace switchback
