#include "bridge/constraint_text.h"

#include <cctype>
#include <string>
#include <utility>

namespace switchback {
namespace {

/// Walks over the definition; every function leaves it where it was if it returns nothing.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool take(std::string_view word) {
    const auto before = std::exchange(rest_, skip_blanks(rest_));
    if (rest_.starts_with(word)) {
      rest_.remove_prefix(word.size());
      return true;
    }
    rest_ = before;
    return false;
  }

  std::optional<std::string> identifier() {
    std::string_view text = skip_blanks(rest_);
    std::string out;
    if (text.starts_with('"')) {
      text.remove_prefix(1);
      for (;;) {
        const auto quote = text.find('"');
        if (quote == text.npos) return std::nullopt;
        out += text.substr(0, quote);
        text.remove_prefix(quote + 1);
        if (!text.starts_with('"')) break;
        out += '"';
        text.remove_prefix(1);
      }
    } else {
      while (!text.empty() && is_plain(text.front())) {
        out += text.front();
        text.remove_prefix(1);
      }
    }
    if (out.empty()) return std::nullopt;
    rest_ = text;
    return out;
  }

  std::optional<std::vector<std::string>> column_list() {
    if (!take("(")) return std::nullopt;
    std::vector<std::string> columns;
    do {
      auto column = identifier();
      if (!column) return std::nullopt;
      columns.push_back(*std::move(column));
    } while (take(","));
    if (!take(")")) return std::nullopt;
    return columns;
  }

 private:
  static std::string_view skip_blanks(std::string_view text) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    return text;
  }
  static bool is_plain(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x80 || c == '_' || c == '$' || std::isalnum(byte) != 0;
  }

  std::string_view rest_;
};

/// pg_constraint.confdeltype's letter.
std::optional<char> action(Scanner& scanner) {
  if (scanner.take("CASCADE")) return 'c';
  if (scanner.take("RESTRICT")) return 'r';
  if (scanner.take("SET NULL")) return 'n';
  if (scanner.take("SET DEFAULT")) return 'd';
  if (scanner.take("NO ACTION")) return 'a';
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<std::string>> parse_primary_key(std::string_view definition) {
  Scanner scanner(definition);
  if (!scanner.take("PRIMARY KEY")) return std::nullopt;
  return scanner.column_list();
}

std::optional<CatalogForeignKey> parse_foreign_key(std::string_view name,
                                                   std::string_view definition,
                                                   std::string_view default_schema) {
  Scanner scanner(definition);
  CatalogForeignKey key;
  key.name = name;
  if (!scanner.take("FOREIGN KEY")) return std::nullopt;
  const auto columns = scanner.column_list();
  if (!columns || !scanner.take("REFERENCES")) return std::nullopt;
  auto parent = scanner.identifier();
  if (!parent) return std::nullopt;
  key.parent_schema = default_schema;
  if (scanner.take(".")) {
    key.parent_schema = *parent;
    parent = scanner.identifier();
    if (!parent) return std::nullopt;
  }
  const auto parent_columns = scanner.column_list();
  if (!parent_columns) return std::nullopt;
  key.columns = *columns;
  key.parent_table = *parent;
  key.parent_columns = *parent_columns;
  for (const auto match : {"MATCH FULL", "MATCH PARTIAL", "MATCH SIMPLE"}) scanner.take(match);
  if (scanner.take("ON UPDATE")) {
    const auto letter = action(scanner);
    if (!letter) return std::nullopt;
    key.on_update = *letter;
  }
  if (scanner.take("ON DELETE")) {
    const auto letter = action(scanner);
    if (!letter) return std::nullopt;
    key.on_delete = *letter;
  }
  return key;
}

}  // namespace switchback
