// Just enough of SQLite's lexer to take a CREATE statement apart: names in any of the four quotes,
// strings, comments, parentheses. Used to find what PRAGMAs do not tell: index expressions, the
// condition of a partial index, AUTOINCREMENT. Pure and thread-safe.
// https://www.sqlite.org/lang_keywords.html, https://www.sqlite.org/lang_comment.html
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace switchback {

struct SqlToken {
  std::string_view text;  // a view into the statement, quotes included
  int depth = 0;          // parentheses around it; a parenthesis counts as outside itself
  bool quoted = false;

  /// An unquoted word, compared without case.
  bool is(std::string_view word) const;
};

/// The tokens of `sql`, white space and comments left out. A quote that never closes ends with the
/// text.
std::vector<SqlToken> scan_sql(std::string_view sql);

struct IndexText {
  std::vector<std::string> terms;  // in index order, without COLLATE … and ASC or DESC at their end
  std::string where;               // empty if the index is not partial
};

/// Takes CREATE [UNIQUE] INDEX … ON t (terms) [WHERE …] apart. Throws Error(kInternal) if it is not
/// such a statement.
IndexText parse_create_index(std::string_view sql);

}  // namespace switchback
