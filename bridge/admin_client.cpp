#include "bridge/admin_client.h"

#include <fmt/format.h>
#include <httplib.h>

#include <charconv>
#include <utility>

#include "bridge/admin_server.h"
#include "bridge/error_json.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/ledger/state_dir.h"

namespace switchback {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& host, int port) {
  throw Error(
      ErrorKind::kUnreachable, Retry::kLater,
      fmt::format("the running sidecar did not answer: {}", what),
      {.object = fmt::format("{}:{}", host, port),
       .next = "look at its log; `switchback status` shows both sides without it once it is "
               "stopped"});
}

std::string body_of(const httplib::Result& result, const std::string& host, int port) {
  if (!result) fail(httplib::to_string(result.error()), host, port);
  if (result->status == 200) return result->body;
  if (auto error = parse_error(result->body)) throw *std::move(error);
  fail(fmt::format("HTTP status {}", result->status), host, port);
}

httplib::Client make_client(const std::string& host, int port, std::chrono::milliseconds limit) {
  httplib::Client client(host, port);
  client.set_connection_timeout(std::chrono::seconds(2));
  client.set_read_timeout(limit);
  return client;
}

}  // namespace

AdminClient::AdminClient(std::string host, int port, std::string token)
    : host_(std::move(host)), port_(port), token_(std::move(token)) {}

std::optional<AdminClient> AdminClient::find(const std::filesystem::path& state_dir) {
  if (!StateDir::holder(state_dir)) return std::nullopt;
  const std::string text = read_file(state_dir / "admin");
  if (text.empty()) return std::nullopt;
  const auto colon = text.rfind(':');
  int port = 0;
  if (colon != text.npos) {
    std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  }
  if (port <= 0) {
    throw Error(ErrorKind::kUnreachable, Retry::kNever, "this holds no address of a sidecar",
                {.object = (state_dir / "admin").string(), .next = "restart the sidecar"});
  }
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  return AdminClient(host, port, StateDir::read_token(state_dir));
}

std::string AdminClient::get(const std::string& path, std::chrono::milliseconds limit) const {
  auto client = make_client(host_, port_, limit);
  return body_of(client.Get(path, httplib::Headers{{kTokenHeader, token_}}), host_, port_);
}

std::string AdminClient::post(const std::string& path, const std::string& json,
                              std::chrono::milliseconds limit) const {
  auto client = make_client(host_, port_, limit);
  return body_of(
      client.Post(path, httplib::Headers{{kTokenHeader, token_}}, json, "application/json"), host_,
      port_);
}

}  // namespace switchback
