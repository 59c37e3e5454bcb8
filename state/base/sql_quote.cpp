#include "state/base/sql_quote.h"

#include "state/base/error.h"

namespace switchback {
namespace {

std::string quote(std::string_view text, char mark) {
  std::string out(1, mark);
  for (const char c : text) {
    if (c == '\0') throw Error(ErrorKind::kData, Retry::kNever, "a NUL byte in a name or literal");
    if (c == mark) out += mark;
    out += c;
  }
  out += mark;
  return out;
}

}  // namespace

std::string quote_identifier(std::string_view name) {
  return quote(name, '"');
}

std::string quote_literal(std::string_view text) {
  return quote(text, '\'');
}

}  // namespace switchback
