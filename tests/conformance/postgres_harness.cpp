#include <fmt/format.h>

#include "replication/connection.h"
#include "replication/postgres_endpoint.h"
#include "state/base/error.h"
#include "tests/conformance/harnesses.h"
#include "tests/support/postgres_cluster.h"

namespace switchback {
namespace {

class PostgresHarness : public Harness {
 public:
  PostgresHarness() : conninfo_(test::fresh_database()) {
    Connection::open(conninfo_, "test").exec(kTestPostgresSchema);
  }
  ~PostgresHarness() override {
    // A slot outlives its test's database otherwise, and the cluster has a fixed number of them.
    open()->remove();
  }

  std::unique_ptr<Endpoint> open() override {
    return open_postgres({.conninfo = conninfo_, .store = "app"}, test_mapping());
  }
  bool begins_open() const override { return false; }
  bool put_parent(int id, const std::string& name) override {
    return put_parents(id, id, name, true);
  }
  bool remove_parent(int id) override {
    return write([&](Connection& connection) {
      connection.exec(fmt::format("DELETE FROM public.parent WHERE id = {}", id));
    });
  }
  bool put_parents(int first, int last, const std::string& name, bool commit) override {
    return write([&](Connection& connection) {
      connection.exec("BEGIN");
      for (int id = first; id <= last; ++id) {
        connection.exec(
            "INSERT INTO public.parent(id, name) VALUES ($1, $2) "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            {std::to_string(id), name});
      }
      connection.exec(commit ? "COMMIT" : "ROLLBACK");
    });
  }
  std::map<int, std::string> parents() override {
    Connection connection = Connection::open(conninfo_, "test");
    const Result rows = connection.exec("SELECT id, name FROM public.parent");
    std::map<int, std::string> found;
    for (int row = 0; row < rows.rows(); ++row) {
      found[static_cast<int>(rows.integer(row, 0))] = rows.string(row, 1);
    }
    return found;
  }

 private:
  template <class Work>
  bool write(Work&& work) {
    Connection connection = Connection::open(conninfo_, "application");
    try {
      work(connection);
      return true;
    } catch (const Error& error) {
      if (error.detail().sqlstate != "25006") throw;
      return false;
    }
  }

  std::string conninfo_;
};

}  // namespace

std::unique_ptr<Harness> make_postgres_harness() {
  return std::make_unique<PostgresHarness>();
}

}  // namespace switchback
