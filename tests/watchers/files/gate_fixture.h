// A store of two files with its gate, for the tests of the gate and of its deaths. The modes of
// files and folder are told apart, so that each must come back as it was.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/watchers/files/files_fixture.h"
#include "tests/watchers/files/gate_store.h"
#include "watchers/files/files_endpoint.h"

namespace switchback {

inline Deadline soon() {
  return Deadline::in(std::chrono::seconds(10));
}
inline Deadline at_once() {
  return Deadline::in(std::chrono::milliseconds(100));
}

class FilesGateTest : public testing::Test {
 protected:
  FilesGateTest() : store_(kGateCollection, kGateTables) {
    ::chmod(store_.folder().c_str(), 0755);
    store_.write("sub/a.json", R"([{"id":1,"name":"a"}])");
    store_.write("sub/b.json", R"([{"id":2,"name":"b"}])");
    ::chmod(path("a").c_str(), 0666);
    ::chmod(path("b").c_str(), 0604);
    ::chmod((store_.root() / "sub").c_str(), 0777);
    endpoint()->install();
  }
  std::unique_ptr<Endpoint> endpoint() {
    return open_files({.ledger = store_.ledger(), .spool_folder = store_.folder()},
                      store_.text().mapping_pointer(), store_.text().documents());
  }
  std::unique_ptr<WriteGate> gate() { return endpoint()->make_gate("all"); }
  std::filesystem::path path(const std::string& name) const {
    return store_.root() / "sub" / (name + ".json");
  }
  mode_t mode(const std::filesystem::path& of) const {
    struct stat now {};
    EXPECT_EQ(::stat(of.c_str(), &now), 0);
    return now.st_mode & 07777;
  }
  void expect_modes_of_the_beginning() const {
    EXPECT_EQ(mode(path("a")), 0666u);
    EXPECT_EQ(mode(path("b")), 0604u);
    EXPECT_EQ(mode(store_.root() / "sub"), 0777u);
  }
  void expect_fenced() const {
    EXPECT_EQ(mode(path("a")), 0444u);
    EXPECT_EQ(mode(path("b")), 0404u);
    EXPECT_EQ(mode(store_.root() / "sub"), 0555u);
  }
  void close_at(Epoch epoch) {
    const auto gate = this->gate();
    ASSERT_TRUE(gate->lock(soon()));
    ASSERT_TRUE(gate->close(epoch, soon()));
  }

  FilesFixture store_;
};

}  // namespace switchback
