#include "replication/schema_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace switchback {
namespace {

bool word_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

class Splitter {
 public:
  explicit Splitter(std::string_view sql) : sql_(sql) {}

  std::vector<SqlStatement> run() {
    while (at_ < sql_.size()) step();
    end_statement();
    return std::move(statements_);
  }

 private:
  [[noreturn]] void fail(const std::string& what, int line) const {
    throw Error(ErrorKind::kData, Retry::kNever, fmt::format("{} in line {}", what, line));
  }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view what) const { return sql_.substr(at_).starts_with(what); }
  void advance(std::size_t count = 1) {
    for (; count > 0 && at_ < sql_.size(); --count) line_ += sql_[at_++] == '\n' ? 1 : 0;
  }

  void step() {
    const char c = peek();
    if (starts("--")) return line_comment();
    if (starts("/*")) return block_comment();
    if (std::isspace(static_cast<unsigned char>(c)) != 0) return advance();
    if (c == ';' && depth_ == 0 && atomic_ == 0) {
      end_statement();
      return advance();
    }
    if (c == '\\') fail("a psql command (backslash) is not SQL", line_);
    begin_statement();
    if (c == '\'') return quoted('\'', false);
    if (c == '"') return quoted('"', false);
    if (c == '$') return dollar();
    if (word_character(c)) return word();
    if (c == '(') ++depth_;
    if (c == ')' && depth_ > 0) --depth_;
    advance();
  }

  void begin_statement() {
    if (start_ != std::string_view::npos) return;
    start_ = at_;
    start_line_ = line_;
  }

  void end_statement() {
    if (start_ != std::string_view::npos) {
      std::string_view text = sql_.substr(start_, at_ - start_);
      while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
        text.remove_suffix(1);
      }
      statements_.push_back({text, start_line_});
    }
    start_ = std::string_view::npos;
    depth_ = atomic_ = 0;
    last_word_.clear();
  }

  void line_comment() {
    while (at_ < sql_.size() && peek() != '\n') advance();
  }

  void block_comment() {
    const int from = line_;
    int nested = 0;
    do {
      if (at_ >= sql_.size()) fail("a comment that does not end, begun", from);
      const int turn = starts("/*") ? 1 : starts("*/") ? -1 : 0;
      nested += turn;
      advance(turn == 0 ? 1 : 2);
    } while (nested > 0);
  }

  void quoted(char mark, bool escapes) {
    const int from = line_;
    advance();
    for (;;) {
      if (at_ >= sql_.size()) fail("a quote that does not end, begun", from);
      if (escapes && peek() == '\\') {
        advance(2);
      } else if (peek() == mark && peek(1) == mark) {
        advance(2);
      } else if (peek() == mark) {
        return advance();
      } else {
        advance();
      }
    }
  }

  void dollar() {
    std::size_t length = 1;
    while (word_character(peek(length))) ++length;
    const bool digits = std::isdigit(static_cast<unsigned char>(peek(1))) != 0;
    if (peek(length) != '$' || digits) return advance();  // $1 is a parameter
    const std::string_view tag = sql_.substr(at_, length + 1);
    const auto end = sql_.find(tag, at_ + tag.size());
    if (end == sql_.npos) fail(fmt::format("{} that does not end, begun", tag), line_);
    advance(end + tag.size() - at_);
  }

  void word() {
    std::size_t length = 0;
    // A dollar inside a word belongs to it: a$b$ begins no quote.
    while (word_character(peek(length)) || (length > 0 && peek(length) == '$')) ++length;
    std::string lower(sql_.substr(at_, length));
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    advance(length);
    if (lower == "e" && peek() == '\'') return quoted('\'', true);
    if (lower == "atomic" && last_word_ == "begin") atomic_ = 1;
    if (atomic_ > 0 && lower == "case") ++atomic_;
    if (atomic_ > 0 && lower == "end") --atomic_;
    last_word_ = std::move(lower);
  }

  const std::string_view sql_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::size_t start_ = std::string_view::npos;
  int start_line_ = 1;
  int depth_ = 0;   // parentheses: a rule's actions hold semicolons
  int atomic_ = 0;  // BEGIN ATOMIC … END, with its CASE … END inside
  std::string last_word_;
  std::vector<SqlStatement> statements_;
};

}  // namespace

std::vector<SqlStatement> split_sql(std::string_view sql) {
  if (sql.starts_with("\xef\xbb\xbf")) sql.remove_prefix(3);  // a byte order mark
  return Splitter(sql).run();
}

}  // namespace switchback
