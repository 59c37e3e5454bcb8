#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <cstdlib>

#include "bridge/admin_client.h"
#include "bridge/admin_server.h"
#include "bridge/error_json.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/ledger/state_dir.h"
#include "tests/support/temp_folder.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
constexpr milliseconds kLimit{5000};

class Admin : public ::testing::Test {
 protected:
  void SetUp() override {
    state_.emplace(StateDir::open(folder_));
    state_->lock();
    serve({});
  }
  void TearDown() override { server_.reset(); }
  void serve(AdminOptions options) {
    options.port = 0;
    options.token = state_->token();
    options.address_file = state_->file("admin");
    AdminHandlers handlers;
    handlers.ready = [this] { return ready_; };
    handlers.status = [] {
      Status status;
      status.bridge = "b";
      return status;
    };
    handlers.metrics = [] { return "switchback_epoch 1\n"; };
    handlers.primary = [this] { return primary_; };
    handlers.flip = [this](const FlipOrder& order) -> std::string {
      if (order.group != "all") {
        throw Error(ErrorKind::kRefused, Retry::kNever, "no such group",
                    {.object = order.group, .next = "use all"});
      }
      last_ = order;
      return R"({"flipped":true})";
    };
    handlers.verify = [](const VerifyOrder& order) { return order.repair ? 8u : 7u; };
    handlers.verify_answer = [](std::uint64_t run) {
      return run == 7 ? R"({"running":true})" : R"({"identical":true})";
    };
    server_.reset();
    server_ = std::make_unique<AdminServer>(options, handlers);
  }
  int status_of(const std::string& path, const httplib::Headers& headers = {}) {
    httplib::Client client("127.0.0.1", server_->port());
    const auto result = client.Get(path, headers);
    return result ? result->status : -1;
  }
  int post_status(const std::string& body, const httplib::Headers& headers) {
    httplib::Client client("127.0.0.1", server_->port());
    const auto result = client.Post("/flip", headers, body, "application/json");
    return result ? result->status : -1;
  }

  test::TempFolder folder_;
  std::optional<StateDir> state_;
  std::unique_ptr<AdminServer> server_;
  bool ready_ = true;
  std::optional<Side> primary_ = Side::kOld;
  FlipOrder last_;
};

TEST_F(Admin, ProbesAnswerByStatus) {
  EXPECT_EQ(status_of("/healthz"), 200);
  EXPECT_EQ(status_of("/readyz"), 200);
  ready_ = false;
  EXPECT_EQ(status_of("/readyz"), 503);
  EXPECT_EQ(status_of("/is/old"), 200);
  EXPECT_EQ(status_of("/is/postgres"), 503);
  primary_ = std::nullopt;
  EXPECT_EQ(status_of("/is/old"), 503);
  EXPECT_EQ(status_of("/is/postgres"), 503);
  EXPECT_EQ(status_of("/metrics"), 200);
  EXPECT_EQ(status_of("/nothing"), 404);
}

TEST_F(Admin, ForeignHostNamesAreRefused) {
  EXPECT_EQ(status_of("/status", {{"Host", "evil.example"}}), 403);
  EXPECT_EQ(status_of("/status", {{"Host", "localhost:1"}}), 200);
  EXPECT_EQ(status_of("/status", {{"Host", "[::1]:80"}}), 200);
}

TEST_F(Admin, ChangesNeedTheToken) {
  EXPECT_EQ(post_status("{}", {}), 403);
  EXPECT_EQ(post_status("{}", {{kTokenHeader, std::string(64, '0')}}), 403);
  EXPECT_EQ(post_status("{}", {{kTokenHeader, state_->token()}}), 200);
  EXPECT_EQ(post_status("[]", {{kTokenHeader, state_->token()}}), 400);
  EXPECT_EQ(post_status(std::string(100'000, ' '), {{kTokenHeader, state_->token()}}), 413);
}

TEST_F(Admin, AComparisonIsBegunAndAskedForWithTheToken) {
  EXPECT_EQ(status_of("/verify?run=7"), 403);
  const auto client = AdminClient::find(folder_);
  ASSERT_TRUE(client);
  EXPECT_THAT(client->post("/verify", to_json(VerifyOrder{"t", true, "me"}), kLimit),
              HasSubstr(R"({"run":8})"));
  EXPECT_THAT(client->get("/verify?run=7", kLimit), HasSubstr("running"));
  EXPECT_THAT(client->get("/verify?run=8", kLimit), HasSubstr("identical"));
  EXPECT_THROW(client->post("/verify", R"({"tabel":"t"})", kLimit), Error);
}

TEST_F(Admin, AwayFromLoopbackReadsNeedTheTokenToo) {
  AdminOptions options;
  options.host = "0.0.0.0";
  serve(options);
  EXPECT_EQ(status_of("/status"), 403);
  EXPECT_EQ(status_of("/status", {{kTokenHeader, state_->token()}}), 200);
  for (const char* open : {"/healthz", "/readyz", "/metrics", "/is/old"}) {
    EXPECT_EQ(status_of(open, {{"Host", "balancer.example"}}), 200) << open;
  }
}

TEST_F(Admin, TheClientFindsTheSidecarAndItsErrors) {
  const auto client = AdminClient::find(folder_);
  ASSERT_TRUE(client);
  EXPECT_EQ(parse_status(client->get("/status", kLimit)).bridge, "b");
  FlipOrder order{Side::kOld, "all", milliseconds(250), true, false, "root"};
  EXPECT_EQ(client->post("/flip", to_json(order), kLimit), "{\"flipped\":true}\n");
  EXPECT_EQ(to_json(last_), to_json(order));
  order.group = "odd";
  try {
    client->post("/flip", to_json(order), kLimit);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRefused);
    EXPECT_STREQ(error.what(), "odd: no such group. Next: use all");
  }
}

TEST_F(Admin, NoSidecarNoClient) {
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(folder_ / "admin"));
  EXPECT_FALSE(AdminClient::find(folder_));
  state_.reset();
  replace_file(folder_ / "admin", "127.0.0.1:1\n", 0600);  // left by a sidecar that was killed
  EXPECT_FALSE(AdminClient::find(folder_));
}

TEST_F(Admin, ATakenPortIsAnErrorOrAvoided) {
  AdminOptions options;
  options.port = server_->port();
  options.address_file = folder_ / "other";
  EXPECT_THROW(AdminServer(options, AdminHandlers{}), Error);
  options.fall_back = true;
  const AdminServer other(options, AdminHandlers{});
  EXPECT_NE(other.port(), server_->port());
}

TEST(FlipOrder, BadBodiesAreUsageErrors) {
  for (const char* body : {"x", "[]", R"({"to":"left"})", R"({"max_pause_ms":0})", R"({"what":1})",
                           R"({"dry_run":"yes"})", R"({"group":7})"}) {
    try {
      parse_flip_order(body);
      ADD_FAILURE() << "accepted " << body;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage) << body;
    }
  }
}

TEST(ErrorJson, ComesBackWhole) {
  const Error error(ErrorKind::kBusy, Retry::kLater, "a \"lock\"",
                    {.object = "t", .sqlstate = "55P03", .next = "wait"});
  const auto back = parse_error(to_json(error));
  ASSERT_TRUE(back);
  EXPECT_STREQ(back->what(), error.what());
  EXPECT_EQ(back->kind(), ErrorKind::kBusy);
  EXPECT_EQ(back->retry(), Retry::kLater);
  EXPECT_FALSE(parse_error("{}"));
}

}  // namespace
}  // namespace switchback
