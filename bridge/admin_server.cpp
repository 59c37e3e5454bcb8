#include "bridge/admin_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <pthread.h>
#include <simdjson.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "bridge/error_json.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/json_text.h"

namespace switchback {
namespace {

using httplib::Request;
using httplib::Response;

constexpr const char* kJson = "application/json";
constexpr const char* kText = "text/plain; charset=utf-8";
constexpr std::size_t kLongestBody = 64 * 1024;
constexpr std::size_t kThreads = 4;  // one may hold a flip; probes must still be answered
constexpr int kForbidden = 403;

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

/// httplib keeps quiet about a name that does not resolve, and errno then means something else.
std::string why_not(int code) {
  if (code == EADDRINUSE || code == EACCES || code == EADDRNOTAVAIL) return std::strerror(code);
  return "no such address on this host";
}

bool is_wildcard(std::string_view host) {
  return host == "0.0.0.0" || host == "::";
}

/// The host of a Host header, without port and brackets.
std::string_view host_name(std::string_view header) {
  if (header.starts_with('[')) return header.substr(1, header.find(']') - 1);
  return header.substr(0, header.find(':'));
}

/// In a time that does not depend on where the first difference is.
bool equal_secret(std::string_view a, std::string_view b) {
  if (a.size() != b.size() || a.empty()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

bool always_open(const std::string& path) {
  return path == "/healthz" || path == "/readyz" || path == "/metrics" || path.starts_with("/is/");
}

int http_status(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return 400;
    case ErrorKind::kRefused:
    case ErrorKind::kBusy:
      return 409;
    case ErrorKind::kUnreachable:
      return 503;
    case ErrorKind::kData:
    case ErrorKind::kHistory:
    case ErrorKind::kDisk:
    case ErrorKind::kInternal:
      return 500;
  }
  return 500;
}

void answer_error(Response& response, const Error& error, int status) {
  response.status = status;
  response.set_content(to_json(error) + "\n", kJson);
}

void answer_probe(Response& response, bool yes) {
  response.status = yes ? 200 : 503;
  response.set_content(yes ? "yes\n" : "no\n", kText);
}

std::string address_of(const std::string& host, int port) {
  return host.find(':') == host.npos ? fmt::format("{}:{}", host, port)
                                     : fmt::format("[{}]:{}", host, port);
}

}  // namespace

struct AdminServer::Parts {
  Parts(AdminOptions o, AdminHandlers h) : options(std::move(o)), handlers(std::move(h)) {}

  bool host_allowed(const Request& request) const {
    if (is_wildcard(options.host)) return true;
    const std::string header = request.get_header_value("Host");
    const std::string_view name = host_name(header);
    return name == options.host || is_loopback(name);
  }

  bool token_needed(const Request& request) const {
    if (request.method != "GET" && request.method != "HEAD") return true;
    // A report shows values of rows.
    if (request.path.starts_with("/verify")) return true;
    return !is_loopback(options.host) && !always_open(request.path);
  }

  /// True if the request may go on to its handler.
  bool admit(const Request& request, Response& response) const {
    if (!host_allowed(request)) {
      answer_error(response,
                   Error(ErrorKind::kRefused, Retry::kNever, "this Host is not served here",
                         {.next = "use the address in the state directory's file \"admin\""}),
                   kForbidden);
      return false;
    }
    if (token_needed(request) &&
        !equal_secret(request.get_header_value(kTokenHeader), options.token)) {
      answer_error(response,
                   Error(ErrorKind::kRefused, Retry::kNever, "the token is missing or wrong",
                         {.next = "run the command as the user who owns the state directory"}),
                   kForbidden);
      return false;
    }
    return true;
  }

  void routes() {
    server.Get("/healthz", [](const Request&, Response& out) { answer_probe(out, true); });
    server.Get("/readyz",
               [this](const Request&, Response& out) { answer_probe(out, handlers.ready()); });
    server.Get("/metrics", [this](const Request&, Response& out) {
      out.set_content(handlers.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server.Get("/status", [this](const Request&, Response& out) {
      out.set_content(to_json(handlers.status()) + "\n", kJson);
    });
    server.Get("/is/old", [this](const Request&, Response& out) {
      answer_probe(out, handlers.primary() == Side::kOld);
    });
    server.Get("/is/postgres", [this](const Request&, Response& out) {
      answer_probe(out, handlers.primary() == Side::kPostgres);
    });
    server.Post("/flip", [this](const Request& in, Response& out) {
      out.set_content(handlers.flip(parse_flip_order(in.body)) + "\n", kJson);
    });
    server.Post("/quarantine", [this](const Request& in, Response& out) {
      out.set_content(handlers.quarantine(in.body) + "\n", kJson);
    });
  }

  void verify_routes() {
    server.Post("/verify", [this](const Request& in, Response& out) {
      const std::uint64_t run = handlers.verify(parse_verify_order(in.body));
      out.set_content(fmt::format("{{\"run\":{}}}\n", run), kJson);
    });
    server.Get("/verify", [this](const Request& in, Response& out) {
      const std::string text = in.get_param_value("run");
      std::uint64_t run = 0;
      std::from_chars(text.data(), text.data() + text.size(), run);
      out.set_content(handlers.verify_answer(run) + "\n", kJson);
    });
  }

  void mend_routes() {
    server.Post("/mend", [this](const Request& in, Response& out) {
      handlers.mend(parse_mend_order(in.body));
      out.set_content("{}\n", kJson);
    });
    server.Get("/mend", [this](const Request&, Response& out) {
      out.set_content(handlers.mend_answer() + "\n", kJson);
    });
  }

  void guards() {
    server.set_pre_routing_handler([this](const Request& in, Response& out) {
      return admit(in, out) ? httplib::Server::HandlerResponse::Unhandled
                            : httplib::Server::HandlerResponse::Handled;
    });
    server.set_exception_handler([](const Request&, Response& out, std::exception_ptr thrown) {
      try {
        std::rethrow_exception(thrown);
      } catch (const Error& error) {
        answer_error(out, error, http_status(error.kind()));
      } catch (const std::exception& error) {
        answer_error(out, Error(ErrorKind::kInternal, Retry::kNever, error.what()), 500);
      }
    });
    server.set_payload_max_length(kLongestBody);
    server.set_keep_alive_max_count(1);  // an idle connection would be polled
    server.set_read_timeout(5);
    server.set_write_timeout(5);
    server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    // httplib's own choice is SO_REUSEPORT, with which two sidecars would share one port.
    server.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
  }

  void bind() {
    bool bound = false;
    if (options.port != 0) {
      bound = server.bind_to_port(options.host, options.port);
      port = options.port;
    }
    if (!bound && (options.port == 0 || options.fall_back)) {
      port = server.bind_to_any_port(options.host);
      bound = port > 0;
    }
    if (bound) return;
    throw Error(ErrorKind::kUsage, Retry::kNever,
                fmt::format("cannot listen there: {}", why_not(errno)),
                {.object = address_of(options.host, options.port),
                 .next = "choose another [admin] listen, or \"off\""});
  }

  AdminOptions options;
  AdminHandlers handlers;
  httplib::Server server;
  int port = 0;
  std::atomic<bool> ended = false;  // the thread has come out of httplib
  std::jthread thread;
};

AdminServer::AdminServer(AdminOptions options, AdminHandlers handlers)
    : parts_(std::make_unique<Parts>(std::move(options), std::move(handlers))) {
  parts_->guards();
  parts_->routes();
  parts_->verify_routes();
  parts_->mend_routes();
  parts_->bind();
  replace_file(parts_->options.address_file, address_of(parts_->options.host, parts_->port) + "\n",
               0600);
  parts_->thread = std::jthread([parts = parts_.get()] {
    ::pthread_setname_np(::pthread_self(), "admin");
    parts->server.listen_after_bind();
    parts->ended = true;
  });
}

AdminServer::~AdminServer() {
  std::error_code ignored;  // a file left behind only makes the next command say "no sidecar runs"
  std::filesystem::remove(parts_->options.address_file, ignored);
  // stop() is lost on a server that has not begun to listen yet.
  while (!parts_->server.is_running() && !parts_->ended) std::this_thread::yield();
  parts_->server.stop();
  parts_->thread.join();
}

int AdminServer::port() const {
  return parts_->port;
}

std::string to_json(const FlipOrder& order) {
  JsonWriter json;
  json.begin_object().member("to", to_string(order.to)).member("group", order.group);
  if (order.max_pause) json.member("max_pause_ms", order.max_pause->count());
  json.member("dry_run", order.dry_run)
      .member("drill", order.drill)
      .member("by", order.by)
      .end_object();
  return json.take();
}

FlipOrder parse_flip_order(std::string_view text) {
  const auto fail = [](const char* what) -> Error {
    return Error(ErrorKind::kUsage, Retry::kNever, what,
                 {.next = R"(send {"to":"postgres","group":"all","max_pause_ms":500})"});
  };
  FlipOrder order;
  if (text.empty()) return order;
  simdjson::dom::parser parser;
  simdjson::dom::object root;
  if (parser.parse(text.data(), text.size()).get(root)) throw fail("the body is no JSON object");
  for (const auto& [key, value] : root) {
    std::string_view word;
    std::int64_t number = 0;
    if (key == "to") {
      const auto to = value.get(word) ? std::nullopt : parse_side(word);
      if (!to) throw fail("\"to\" is \"old\" or \"postgres\"");
      order.to = *to;
    } else if (key == "group") {
      if (value.get(word)) throw fail("\"group\" is a string");
      order.group = word;
    } else if (key == "by") {
      if (value.get(word)) throw fail("\"by\" is a string");
      order.by = word;
    } else if (key == "dry_run") {
      if (value.get(order.dry_run)) throw fail("\"dry_run\" is true or false");
    } else if (key == "drill") {
      if (value.get(order.drill)) throw fail("\"drill\" is true or false");
    } else if (key == "max_pause_ms") {
      if (value.get(number) || number <= 0 || number > 60'000) {
        throw fail("\"max_pause_ms\" is a number from 1 to 60000");
      }
      order.max_pause = std::chrono::milliseconds(number);
    } else {
      throw fail("the body has an unknown member");
    }
  }
  return order;
}

}  // namespace switchback
