// The process whose power fails: writes numbered transactions into a database, says on standard
// output which of them it takes to be durable, and runs into the failpoint that the environment
// has armed. "plain PATH SYNCHRONOUS": bare transactions; "sink PATH": the sink's batches;
// "gate PATH": the gate, closed and opened in turn; "neighbour PATH": this process writes and
// leaves, another one writes with syncs and is killed, and the power fails in this one; "looker
// PATH" the same, with this process looking on.
#include <SQLiteCpp/SQLiteCpp.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "state/base/failpoint.h"
#include "tests/watchers/sqlite/target_fixture.h"
#include "watchers/sqlite/gate.h"
#include "watchers/sqlite/power_loss.h"
#include "watchers/sqlite/sink.h"

namespace switchback {
namespace {

constexpr int kRounds = 400;
constexpr std::uint64_t kSinkRounds = 20'000;  // enough for any failpoint of the sync thread

void say(std::string_view what, std::uint64_t number) {
  std::printf("%.*s %llu\n", static_cast<int>(what.size()), what.data(),
              static_cast<unsigned long long>(number));
  std::fflush(stdout);
}

void plain(const std::string& path, const std::string& synchronous) {
  SQLite::Database database(path, SQLite::OPEN_READWRITE);
  database.exec("PRAGMA synchronous = " + synchronous);
  for (int n = 1; n <= kRounds; ++n) {
    const std::string number = std::to_string(n);
    database.exec("BEGIN; INSERT INTO person(id, doc) VALUES (" + number +
                  ", hex(zeroblob(900))); UPDATE person SET flag = " + number +
                  " WHERE id % 7 = 0; COMMIT");
    say("durable", static_cast<std::uint64_t>(n));
    failpoint("sqlite.sink.commit.after");
  }
}

void sink(const std::string& path) {
  const auto target = open_sqlite_sink(path, target_mapping(), "app", "/tmp");
  for (std::uint64_t n = target->applied().value + 1; n <= kSinkRounds; ++n) {
    const auto key = static_cast<std::int64_t>(n);
    ChunkHand hand;
    hand.upsert(kPerson, {key, nullptr, nullptr, nullptr, nullptr})
        .upsert(kPerson, {key / 2 + 1, std::to_string(n), true,
                          Json{"[" + std::string(400, '1') + "]"}, nullptr});
    apply_batch(*target, hand.end(n));
    say("durable", target->durable().value);
  }
}

void gate(const std::string& path) {
  const auto one = open_sqlite_gate(path, target_mapping(), "app", "all");
  for (Epoch epoch = 2; epoch <= kRounds; epoch += 2) {
    if (!one->lock(Deadline::in(std::chrono::seconds(5)))) return;
    if (!one->close(epoch, Deadline::in(std::chrono::seconds(5)))) return;
    say("durable", epoch);
    one->open(epoch + 1, {});
    say("durable", epoch + 1);
  }
}

void insert(SQLite::Database& database, int id) {
  database.exec("PRAGMA synchronous = EXTRA");
  database.exec("INSERT INTO person(id) VALUES (" + std::to_string(id) + ")");
}

// Leaves a -wal behind, as a process that is killed does.
[[noreturn]] void write_and_die(const std::string& path) {
  SQLite::Database database(path, SQLite::OPEN_READWRITE);
  insert(database, 2);
  ::_exit(0);
}

void neighbour(const std::string& path, const std::string& self, bool looks) {
  {
    SQLite::Database last_one(path, SQLite::OPEN_READWRITE);
    insert(last_one, 1);
  }
  // A look makes a -wal, into which only the other process writes.
  SQLite::Database looking(path, SQLite::OPEN_READWRITE);
  if (looks) looking.execAndGet("SELECT count(*) FROM person");
  const std::string other = "env -u SWITCHBACK_POWER_LOSS " + self + " other '" + path + "'";
  if (std::system(other.c_str()) != 0) return;
  say("durable", 2);
  failpoint("sqlite.sink.commit.after");
}

}  // namespace
}  // namespace switchback

int main(int argc, char** argv) {
  using namespace switchback;
  arm_power_loss();
  const std::string what = argc > 2 ? argv[1] : "";
  if (what == "plain" && argc > 3) plain(argv[2], argv[3]);
  if (what == "sink") sink(argv[2]);
  if (what == "gate") gate(argv[2]);
  if (what == "other") write_and_die(argv[2]);
  if (what == "neighbour") neighbour(argv[2], argv[0], false);
  if (what == "looker") neighbour(argv[2], argv[0], true);
  return 0;
}
