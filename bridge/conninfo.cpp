#include "bridge/conninfo.h"

#include <array>

namespace switchback {
namespace {

/// user[:password]@host of a URL; the parts are empty for a key=value string.
struct Url {
  std::string_view user_info;
  std::string_view host_and_database;
};

Url parse_url(std::string_view text) {
  const auto scheme = text.find("://");
  if (scheme == text.npos) return {};
  std::string_view rest = text.substr(scheme + 3);
  rest = rest.substr(0, rest.find('?'));
  const auto at = rest.substr(0, rest.find('/')).rfind('@');
  if (at == rest.npos) return {{}, rest};
  return {rest.substr(0, at), rest.substr(at + 1)};
}

/// The folder of a socket stands in a URL with its slashes escaped; a person reads it without.
std::string with_slashes(std::string_view host) {
  std::string out(host);
  for (auto at = out.find("%2F"); at != out.npos; at = out.find("%2F", at)) out.replace(at, 3, "/");
  return out;
}

}  // namespace

bool has_password(std::string_view conninfo) {
  if (conninfo.find("password=") != conninfo.npos || conninfo.find("password =") != conninfo.npos) {
    return true;
  }
  const auto user_info = parse_url(conninfo).user_info;
  const auto colon = user_info.find(':');
  return colon != user_info.npos && colon + 1 < user_info.size();
}

std::string describe_conninfo(std::string_view conninfo) {
  if (conninfo.empty()) return "as libpq's environment says";
  if (conninfo.find("://") != conninfo.npos) {
    const auto there = parse_url(conninfo).host_and_database;
    // A stray '@' means that the password was not escaped: then part of it may be here.
    if (there.empty() || there.find('@') != there.npos) return "as configured";
    return with_slashes(there);
  }
  // A quoted value may hold anything, even what looks like another key.
  if (conninfo.find('\'') != conninfo.npos) return "as configured";
  std::string out;
  while (!conninfo.empty()) {
    const auto blank = conninfo.find(' ');
    const auto word = conninfo.substr(0, blank);
    for (const std::string_view key :
         std::array<std::string_view, 5>{"host=", "hostaddr=", "port=", "dbname=", "service="}) {
      if (!word.starts_with(key)) continue;
      if (!out.empty()) out += ' ';
      out += word;
    }
    if (blank == conninfo.npos) break;
    conninfo.remove_prefix(blank + 1);
  }
  return out.empty() ? "as configured" : out;
}

}  // namespace switchback
