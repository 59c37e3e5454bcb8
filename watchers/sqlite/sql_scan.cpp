#include "watchers/sqlite/sql_scan.h"

#include <algorithm>
#include <span>

#include "state/base/error.h"

namespace switchback {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '$' || static_cast<unsigned char>(c) >= 0x80;
}

std::size_t end_of_quote(std::string_view sql, std::size_t at) {
  const char close = sql[at] == '[' ? ']' : sql[at];
  for (std::size_t i = at + 1; i < sql.size(); ++i) {
    if (sql[i] != close) continue;
    const bool doubled = close != ']' && i + 1 < sql.size() && sql[i + 1] == close;
    if (!doubled) return i + 1;
    ++i;
  }
  return sql.size();
}

/// Where the blanks and comments that start at `at` end.
std::size_t skip_nothing(std::string_view sql, std::size_t at) {
  while (at < sql.size()) {
    if (is_blank(sql[at])) {
      ++at;
    } else if (sql.substr(at, 2) == "--") {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (sql.substr(at, 2) == "/*") {
      const std::size_t close = sql.find("*/", at + 2);
      at = close == std::string_view::npos ? sql.size() : close + 2;
    } else {
      break;
    }
  }
  return at;
}

std::string_view span_of(std::span<const SqlToken> tokens) {
  if (tokens.empty()) return {};
  const char* first = tokens.front().text.data();
  const char* end = tokens.back().text.data() + tokens.back().text.size();
  return {first, static_cast<std::size_t>(end - first)};
}

std::string term_text(std::span<const SqlToken> term, int depth) {
  if (!term.empty() && (term.back().is("ASC") || term.back().is("DESC"))) {
    term = term.first(term.size() - 1);
  }
  const std::size_t size = term.size();
  if (size >= 3 && term[size - 2].is("COLLATE") && term[size - 2].depth == depth) {
    term = term.first(size - 2);
  }
  return std::string(span_of(term));
}

}  // namespace

bool SqlToken::is(std::string_view word) const {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return !quoted && std::equal(text.begin(), text.end(), word.begin(), word.end(),
                               [&](char a, char b) { return lower(a) == lower(b); });
}

std::vector<SqlToken> scan_sql(std::string_view sql) {
  std::vector<SqlToken> tokens;
  int depth = 0;
  std::size_t at = skip_nothing(sql, 0);
  while (at < sql.size()) {
    const char c = sql[at];
    std::size_t end = at + 1;
    const bool quoted = c == '\'' || c == '"' || c == '`' || c == '[';
    if (quoted) end = end_of_quote(sql, at);
    while (!quoted && is_word(c) && end < sql.size() && is_word(sql[end])) ++end;
    if (c == ')') --depth;
    tokens.push_back({sql.substr(at, end - at), depth, quoted});
    if (c == '(') ++depth;
    at = skip_nothing(sql, end);
  }
  return tokens;
}

IndexText parse_create_index(std::string_view sql) {
  const std::vector<SqlToken> tokens = scan_sql(sql);
  const auto is_open = [](const SqlToken& token) { return token.text == "(" && token.depth == 0; };
  const auto is_close = [](const SqlToken& token) { return token.text == ")" && token.depth == 0; };
  const auto open = std::find_if(tokens.begin(), tokens.end(), is_open);
  const auto close = std::find_if(open, tokens.end(), is_close);
  if (open == tokens.end() || close == tokens.end()) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "not a CREATE INDEX statement",
                {.object = std::string(sql)});
  }
  IndexText out;
  auto start = open + 1;
  for (auto at = start; at <= close; ++at) {
    const bool ends = at == close || (at->text == "," && at->depth == 1);
    if (!ends) continue;
    out.terms.push_back(term_text({start, at}, 1));
    start = at + 1;
  }
  const auto where = close + 1;
  if (where != tokens.end() && where->is("WHERE")) {
    out.where = span_of({where + 1, tokens.end()});
  }
  return out;
}

}  // namespace switchback
