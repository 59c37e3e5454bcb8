// A store of files with a sink over it, for the tests of the sink. One thread.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/watchers/files/files_fixture.h"
#include "watchers/files/ledger.h"
#include "watchers/files/mapping_text.h"

namespace switchback {

/// Conversations, each with its messages in it.
inline const std::vector<TableText> kChats = {
    {.name = "chats", .path = "", .columns = {"id text = /id", "title text = /title"}},
    {.name = "messages",
     .path = "/messages/*",
     .columns = {"id int = /id", "chat text = ^/id", "body text = /body"}}};

class SinkStore : public FilesFixture {
 public:
  using FilesFixture::FilesFixture;

  std::vector<Reject> commit() {
    if (!sink_) {
      sink_ = sink();
      sink_->applied();
    }
    return apply(*sink_, {7, ++value_, 1});
  }
  /// The ledger says what the files hold, and a source finds nothing to tell.
  void expect_no_echo() {
    const auto source = this->source();
    source->start(start_);
    FilesReplica replica;
    if (!pull_batch(*source, replica, std::chrono::milliseconds(200))) return;
    EXPECT_THAT(replica.changes, testing::IsEmpty()) << "the bridge's own write came back";
  }
  void begin() {
    install();
    start_ = FilesLedger::open(ledger(), false)->last();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root())) {
      if (entry.is_regular_file())
        out.push_back(std::filesystem::relative(entry.path(), root()).string());
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  std::unique_ptr<ChangeSink> sink_;
  Position start_;
  std::uint64_t value_ = 0;
};

}  // namespace switchback
