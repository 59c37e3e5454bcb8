// Writers that a flip finds in the middle of something.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "state/base/error.h"
#include "tests/integration/reverse_line.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class Trap11_OpenTransactions : public ::testing::Test {
 protected:
  static Deadline soon(milliseconds span = seconds(20)) { return Deadline::in(span); }
  /// Closes PostgreSQL as a rollback does, once all it accepted is in SQLite.
  bool close(milliseconds within) {
    const Deadline deadline = soon(within);
    if (!line_.gate().lock(deadline)) return false;
    const bool drained = line_.pump().wait_applied(line_.gate().mark(), deadline);
    if (drained && line_.gate().close(3, deadline)) return true;
    line_.gate().unlock();
    return false;
  }
  std::string obstacles() {
    std::string all;
    for (const Obstacle& one : line_.gate().obstacles()) all += one.what + " => " + one.cure + "\n";
    return all;
  }
  std::string refusal(Connection& as, const std::string& statement) {
    try {
      as.exec(statement);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
  test::ReverseLine line_;
};

TEST_F(Trap11_OpenTransactions, AWriterInTheMiddleIsWaitedForAndItsRowsCome) {
  Connection writer = line_.session();
  writer.exec("BEGIN; INSERT INTO public.item VALUES (1, 'early', NULL, 1)");
  EXPECT_FALSE(close(milliseconds(300))) << "closed over a writer's head";
  writer.exec("INSERT INTO public.item VALUES (2, 'late', NULL, 2); COMMIT");
  ASSERT_TRUE(close(seconds(20)));
  EXPECT_EQ(line_.sqlite("SELECT group_concat(name) FROM item"), "early,late");
}

TEST_F(Trap11_OpenTransactions, OneThatHasNotWrittenYetCannotAfterwards) {
  Connection reader = line_.session();
  reader.exec("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
  Connection elsewhere = line_.session();
  elsewhere.exec("CREATE TABLE public.other(id int); BEGIN; INSERT INTO public.other VALUES (1)");
  ASSERT_TRUE(close(seconds(20)));
  for (Connection* late : {&reader, &elsewhere}) {
    EXPECT_THAT(refusal(*late, "INSERT INTO public.item VALUES (1, 'late', NULL, 1)"),
                HasSubstr("25006"));
  }
}

TEST_F(Trap11_OpenTransactions, APreparedOneIsNamedAndNotLost) {
  line_.write(
      "BEGIN; INSERT INTO public.item VALUES (1, 'prepared', NULL, 1); PREPARE TRANSACTION 'trap'");
  const std::string found = obstacles();
  EXPECT_THAT(found, HasSubstr("prepared transaction 'trap'"));
  EXPECT_THAT(found, HasSubstr("COMMIT PREPARED or ROLLBACK PREPARED 'trap'"));
  EXPECT_FALSE(close(milliseconds(300))) << "closed over a prepared transaction";
  line_.write("COMMIT PREPARED 'trap'");
  ASSERT_TRUE(close(seconds(20)));
  EXPECT_EQ(line_.sqlite("SELECT name FROM item"), "prepared");
}

TEST_F(Trap11_OpenTransactions, WhoDoesNotWaitForTheDiskIsDrainedAndMadeDurable) {
  // The server of these tests writes such commits out only every ten seconds by itself.
  line_.postgres("ALTER DATABASE \"" + line_.postgres("SELECT current_database()") +
                 "\" SET synchronous_commit = off");
  Connection writer = line_.session();
  EXPECT_EQ(writer.exec("SHOW synchronous_commit").text(0, 0), "on") << "sessions of ours wait";
  writer.exec("SET synchronous_commit = off; INSERT INTO public.item VALUES (1, 'fast', NULL, 1)");
  ASSERT_TRUE(close(seconds(5)));
  EXPECT_EQ(line_.sqlite("SELECT name FROM item"), "fast");
  line_.stop_pump();
  test::ReverseLine::cluster().restart(test::StopMode::kImmediate);
  EXPECT_EQ(line_.postgres("SELECT name FROM public.item"), "fast");
}

// A new slot begins only when every transaction that was open has ended, in whichever database.
TEST_F(Trap11_OpenTransactions, ASlotThatWouldWaitForSomebodyIsGivenUpAndSaysForWhom) {
  ASSERT_TRUE(close(seconds(20)));
  line_.stop_pump();
  const Deadline deadline = soon();
  for (bool gone = false; !gone && !deadline.passed();) {
    try {
      line_.gate().settle_closed();
      gone = true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kBusy) throw;  // the server has yet to notice its reader left
    }
  }
  const std::string other = test::ReverseLine::cluster().fresh_database();
  Connection stranger = Connection::open(other, "stranger");
  stranger.exec("CREATE TABLE public.t(id int)");
  stranger.exec("BEGIN; INSERT INTO public.t VALUES (1)");
  auto asked = std::async(std::launch::async, [&] {
    try {
      line_.gate().make_ready_to_open();
      return std::string("made");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  });
  const bool answered = asked.wait_for(seconds(40)) == std::future_status::ready;
  EXPECT_TRUE(answered) << "it waits for ever";
  if (!answered) stranger.exec("ROLLBACK");
  EXPECT_THAT(asked.get(), HasSubstr("stranger"));
  stranger.exec("ROLLBACK");
  line_.gate().make_ready_to_open();

  line_.gate().settle_closed();
  stranger.exec("BEGIN; INSERT INTO public.t VALUES (1); PREPARE TRANSACTION 'elsewhere'");
  EXPECT_THAT(obstacles(), HasSubstr("'elsewhere'"));
  stranger.exec("ROLLBACK PREPARED 'elsewhere'");
}

}  // namespace
}  // namespace switchback
