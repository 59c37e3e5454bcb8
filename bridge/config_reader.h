// Typed access to one TOML table with errors a person can act on: file, line, key, what was
// expected and what stands there instead, and the nearest known word for an unknown one. Used by
// the configuration parser only; single thread.
#pragma once

#include <toml++/toml.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace switchback {

/// The word of `known` that `word` was most likely meant to be; empty if none is near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

/// Equal but for ASCII case, which SQLite's names ignore and PostgreSQL folds in unquoted ones.
bool same_name(std::string_view a, std::string_view b);

/// "500ms", "2s", "1m", "1h"; nullopt for anything else.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

class ConfigReader {
 public:
  /// `path` is the table's own name in messages ("table.users"), empty for the root.
  ConfigReader(const toml::table& table, std::string file, std::string path)
      : table_(&table), file_(std::move(file)), path_(std::move(path)) {}

  /// Refuses every key that is neither known nor in `later` (known to the design, not to this
  /// version).
  void allow(const std::vector<std::string>& known,
             const std::vector<std::string>& later = {}) const;

  bool has(std::string_view key) const { return table_->contains(key); }
  std::optional<std::string> string(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::int64_t> number(std::string_view key) const;
  std::optional<std::chrono::milliseconds> duration(std::string_view key) const;
  /// A list of strings, or one string as a list of one.
  std::optional<std::vector<std::string>> strings(std::string_view key) const;
  /// The same, but a string may be empty.
  std::optional<std::vector<std::string>> texts(std::string_view key) const;
  /// A string, possibly empty.
  std::optional<std::string> text(std::string_view key) const;
  /// A string out of `words`; the index of the one it is.
  std::optional<std::size_t> word(std::string_view key,
                                  const std::vector<std::string>& words) const;
  /// The table under `key`; nullopt if there is none.
  std::optional<ConfigReader> sub(std::string_view key) const;
  /// Its tables by name, in the order of the file.
  std::vector<std::pair<std::string, ConfigReader>> subs() const;

  const toml::table& table() const { return *table_; }
  const std::string& path() const { return path_; }
  int line() const { return static_cast<int>(table_->source().begin.line); }
  int line_of(std::string_view key) const;
  std::string key_name(std::string_view key) const;

  /// Throws Error(kUsage) about `key` of this table.
  [[noreturn]] void fail(std::string_view key, const std::string& what,
                         const std::string& next = {}) const;

 private:
  [[noreturn]] void wrong_type(std::string_view key, std::string_view expected) const;

  const toml::table* table_;
  std::string file_;
  std::string path_;
};

}  // namespace switchback
